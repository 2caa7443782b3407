"""Files, with care: what is read is a plain file of limited size, and what is written appears whole or not at all."""

import contextlib
import errno
import glob
import hashlib
import os
import re
import shutil
import stat
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from common.errors import UserError

_PART = re.compile(r"\..+\.[0-9a-f]{32}\.part", re.DOTALL)
_MAX_NAME = 200  # bytes; a file's name may have 255 on most systems, that of a part is longer than the file's


def part_path(path: Path) -> Path:
    """Return a name beside `path` that nobody else uses, under which to prepare what is then renamed to `path`."""
    return path.with_name(f".{part_stem(path)}.{uuid.uuid4().hex}.part")


def stale_parts(path: Path) -> list[Path]:
    """Return what stands under names of `part_path`: once `path` is complete, of no use even to those who write it."""
    return list(path.parent.glob(f".{glob.escape(part_stem(path))}.{'?' * 32}.part"))


def is_part(path: Path) -> bool:
    """Tell whether a name is one of `part_path`: of something that is being written, or never was completed."""
    return _PART.fullmatch(path.name) is not None


def sweep_parts(folder: Path) -> None:
    """Delete what killed processes have left half written in `folder` and below; no link is followed."""
    for parent, folders, names in os.walk(folder):
        for path in [Path(parent, name) for name in (*folders, *names)]:
            if is_part(path):
                delete(path)


def delete(path: Path) -> None:
    """Delete a file, a link or a whole folder, if it is there and can be deleted."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def part_stem(path: Path) -> str:
    """Return what stands for the name of `path` in the names of its parts."""
    name = os.fsencode(path.name)
    return path.name if len(name) <= _MAX_NAME else hashlib.sha256(name).hexdigest()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write a file or a folder to; when the block has ended well, flush it and rename it to `path`.

    A reader, or a run killed in the middle, finds the old at `path` or the new, whole; of a folder that replaces
    another one, for a moment none. A link at `path` is replaced, not followed.

    Raises:
        OSError: it cannot be written; nothing is left, and what was at `path` is as before.
    """
    part = part_path(path)
    try:
        yield part
        for written in [*part.rglob("*"), part]:
            flush(written)
        if part.is_dir() and path.is_dir():
            delete_whole(path)
        os.replace(part, path)
        flush(path.parent)
    finally:
        delete(part)


def delete_whole(folder: Path) -> None:
    """Delete a folder so that others, and those who come after a kill, see it whole or not at all."""
    doomed = part_path(folder)
    os.rename(folder, doomed)
    delete(doomed)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace the file at `path` by `content`, text as UTF-8; see `replacing`."""
    with replacing(path) as part, open(part, "xb") as file:
        file.write(content.encode() if isinstance(content, str) else content)


def flush(path: Path) -> None:
    """Make what stands at `path`, a file or the names in a folder, survive a power failure, on systems that can."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # a file system that cannot flush folders
            raise
    finally:
        os.close(descriptor)


def open_plain(path: Path, follow_links: bool = False) -> BinaryIO:
    """Open a file to read its bytes; no pipe or device is waited for.

    Args:
        path: of the file.
        follow_links: for a path that the user has named; a link in a run or in a folder of data is not followed.

    Raises:
        OSError: it cannot be opened.
        UserError: it is no plain file.
    """
    if not follow_links and path.is_symlink():
        raise UserError(f"{path}: a link, which is not followed here; put a copy of the file in its place")
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if follow_links else os.O_NOFOLLOW))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"{path}: a folder, a pipe or a device, expected a file; move it out of the way")
    return os.fdopen(descriptor, "rb")


def read_plain(path: Path, max_bytes: int, follow_links: bool = False) -> bytes:
    """Return the content of a file as `open_plain` opens it, of at most `max_bytes`.

    Raises:
        UserError: it is no plain file, cannot be read, or is larger than `max_bytes`.
    """
    try:
        with open_plain(path, follow_links) as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check path and permissions") from error
    if len(content) > max_bytes:
        raise UserError(f"{path}: larger than {max_bytes:,} bytes, the most such a file may have; use a smaller one")
    return content


def sha256_of(path: Path) -> str:
    """Return the sha256 of a file as `open_plain` opens it, in hexadecimal digits."""
    with open_plain(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def plain_files(folder: Path) -> list[Path]:
    """Return the files in `folder` and below, sorted by name.

    Left out are hidden files and folders, and whatever is no plain file: links, pipes, devices.
    """
    found = []
    for parent, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(path for path in found if stat.S_ISREG(_mode(path)))


def require_plain(folder: Path) -> None:
    """Raise UserError if anything in `folder` or below is neither file nor folder: a link could lead anywhere."""
    for parent, folders, names in os.walk(folder):
        for path in [Path(parent, name) for name in (*folders, *names)]:
            mode = _mode(path)
            if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                kind = "a link" if stat.S_ISLNK(mode) else "a pipe or a device"
                raise UserError(
                    f"{path}: {kind}; only plain files and folders are used here: delete it, or put a copy in its place"
                )


def _mode(path: Path) -> int:
    """Return what kind of thing stands at `path`, 0 if it has just been deleted."""
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return 0
