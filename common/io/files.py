"""Safe file access: reads only plain files of limited size, writes atomically."""

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

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.part", re.DOTALL)
_MAX_NAME = 200  # bytes; most systems allow 255, and a temporary name is longer than the final one


def temporary_path(path: Path) -> Path:
    """Return a unique path in the folder of `path`, for content that is later renamed to `path`."""
    path = path.absolute()  # the current folder, ".", has no name
    return path.with_name(f".{temporary_stem(path)}.{os.getpid():08x}{uuid.uuid4().hex[8:]}.part")


def leftover_temporary_paths(path: Path) -> list[Path]:
    """Return the temporary paths of `path` that exist; once `path` is complete, they can be deleted."""
    return list(path.parent.glob(f".{glob.escape(temporary_stem(path))}.{'?' * 32}.part"))


def is_temporary(path: Path) -> bool:
    """Return whether `path` has a name from `temporary_path`: it is being written, or was left by a killed process."""
    return _TEMPORARY.fullmatch(path.name) is not None


def remove_temporary_files(folder: Path) -> None:
    """Delete the partially written files and folders in `folder` and below; links are not followed.

    What another process of this machine is writing stays.
    """
    for parent, folders, names in os.walk(folder):
        for path in [Path(parent, name) for name in (*folders, *names)]:
            if is_temporary(path) and not _has_living_writer(path):
                delete(path)


def _has_living_writer(temporary: Path) -> bool:
    process = int(temporary.name[-37:-29], 16)  # see `temporary_path`
    try:
        os.kill(process, 0)  # sends nothing
    except PermissionError:
        return True
    except (ProcessLookupError, OverflowError):
        return False
    return process != os.getpid()


def delete(path: Path) -> None:
    """Delete a file, a link or a folder; ignore errors."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def temporary_stem(path: Path) -> str:
    """Return the part of a temporary name that identifies `path`: its name, or a digest of a long name."""
    name = os.fsencode(path.name)
    return path.name if len(name) <= _MAX_NAME else hashlib.sha256(name).hexdigest()


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path for a file or a folder; at the end of the block, flush it to disk and rename it to `path`.

    At any moment, even after a kill, `path` is either the old or the new content. When a folder replaces another one,
    for a moment there is none. A link at `path` is replaced, not followed.

    Raises:
        OSError: writing failed; the temporary files are deleted, and `path` is unchanged.
    """
    path = path.absolute()
    temporary = temporary_path(path)
    try:
        yield temporary
        for written in [*temporary.rglob("*"), temporary]:
            fsync(written)
        if temporary.is_dir() and path.is_dir():
            delete_atomically(path)
        os.replace(temporary, path)
        fsync(path.parent)
    except OSError as error:
        if error.filename is None:  # of a write to an open file, for instance to a full disk
            error.filename = str(path)
        raise
    finally:
        delete(temporary)


def delete_atomically(folder: Path) -> None:
    """Delete a folder by renaming it first, so that it is never partially deleted, even after a kill."""
    trash = temporary_path(folder)
    os.rename(folder, trash)
    delete(trash)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace the file at `path` by `content`, text as UTF-8; see `replacing`."""
    with replacing(path) as temporary, open(temporary, "xb") as file:
        file.write(content.encode() if isinstance(content, str) else content)


def fsync(path: Path) -> None:
    """Flush a file, or the names in a folder, to disk; it then survives a power failure, if the system supports it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in (errno.EINVAL, errno.ENOTSUP):  # this file system cannot flush folders
            raise
    finally:
        os.close(descriptor)


def open_plain(path: Path, follow_links: bool = False) -> BinaryIO:
    """Open a plain file to read its bytes; never wait for a pipe or a device.

    `follow_links` is for a path that the user names; links in a run or in a folder of data are not followed.

    Raises:
        OSError: the file cannot be opened.
        UserError: it is not a plain file.
    """
    if not follow_links and path.is_symlink():
        raise UserError(f"{path}: a link, which is not followed here; put a copy of the file in its place")
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | (0 if follow_links else os.O_NOFOLLOW))
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise UserError(f"{path}: a folder, a pipe or a device, expected a file; move it out of the way")
    return os.fdopen(descriptor, "rb")


def read_plain(path: Path, max_bytes: int, follow_links: bool = False) -> bytes:
    """Return the content of a plain file of at most `max_bytes`; see `open_plain`.

    Raises:
        UserError: the file is not plain, unreadable, or larger than `max_bytes`.
    """
    try:
        with open_plain(path, follow_links) as file:
            content = file.read(max_bytes + 1)
    except OSError as error:
        raise UserError(f"{path}: cannot be read ({error.strerror or error}); check path and permissions") from error
    if len(content) > max_bytes:
        raise UserError(f"{path}: larger than {max_bytes:,} bytes, the limit for this file; use a smaller one")
    return content


def sha256_of(path: Path, follow_links: bool = False) -> str:
    """Return the sha256 of a plain file, in hexadecimal digits; see `open_plain`."""
    with open_plain(path, follow_links=follow_links) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def plain_files(folder: Path) -> list[Path]:
    """Return the plain files in `folder` and below, sorted by name.

    Hidden files and folders, runs, links, pipes and devices are left out.

    Raises:
        OSError: a folder cannot be read.
    """
    paths = []
    for parent, folders, names in os.walk(folder, onerror=_reraise):
        folders[:] = [name for name in folders if not name.startswith(".") and not _is_run(Path(parent, name))]
        paths += [Path(parent, name) for name in names if not name.startswith(".")]
    return sorted(path for path in paths if stat.S_ISREG(_mode(path)))


def _reraise(error: OSError) -> None:
    raise error


def _is_run(folder: Path) -> bool:
    """Return whether a folder is the run directory of a training, whose samples and figures are no data."""
    return (folder / "config.json").is_file() and (folder / "checkpoints").is_dir()


def require_plain(folder: Path) -> None:
    """Raise UserError if `folder` or a folder below holds a link, a pipe or a device; a link could lead anywhere."""
    for parent, folders, names in os.walk(folder):
        for path in [Path(parent, name) for name in (*folders, *names)]:
            mode = _mode(path)
            if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
                kind = "a link" if stat.S_ISLNK(mode) else "a pipe or a device"
                raise UserError(
                    f"{path}: {kind}, expected plain files and folders only; delete it, or put a copy in its place"
                )


def _mode(path: Path) -> int:
    """Return the mode of `path`, without following links; 0 if another process has just deleted it."""
    try:
        return path.lstat().st_mode
    except FileNotFoundError:
        return 0
