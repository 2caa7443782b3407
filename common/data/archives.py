"""Safe, atomic extraction of zip and tar archives of unknown origin; every member is checked.

Only regular files and folders are accepted, with names that are portable between systems. An archive with a link, a
device or a name outside of the target is refused as a whole: no data set needs one.
"""

import contextlib
import gzip
import hashlib
import os
import stat
import tarfile
import unicodedata
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import IO

from common.errors import UserError
from common.io.files import delete, leftover_temporary_paths, temporary_path

_CHUNK = 1 << 15  # bytes; also the largest accepted tar header
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, ValueError, RuntimeError, OSError)
_MAX_DEPTH = 32  # nested folders
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(1, 10))}  # of Windows
_Listing = Iterator[tuple[str, bool, Callable[[], IO[bytes]]]]  # (name, is_folder, open_member) of each member


def extract(archive: Path, target: Path, *, max_bytes: int, max_members: int) -> Path:
    """Extract a zip, tar or tar.gz archive to the new folder `target`, and return `target`.

    The folder is renamed to `target` once it is complete, so an existing target is used without extraction. If several
    processes extract at once, all use the folder of the first to finish.

    Args:
        archive: the file; its type is detected from its content.
        target: the folder to create, with its parents.
        max_bytes: the maximum size of all files together, measured and not read from headers.
        max_members: the maximum number of files and folders, parent folders included.

    Raises:
        UserError: the archive is damaged, too large or has a member that is not allowed; or `target` is not writable.
    """
    if target.is_dir():
        return target
    temporary = temporary_path(target)
    try:
        temporary.mkdir(parents=True)
        _unpack(archive, temporary, max_bytes, max_members)
        os.rename(temporary, target)
    except OSError as error:
        if not target.is_dir():  # else a faster process has finished, and deleted this temporary folder
            raise UserError(
                f"{target}: cannot extract {archive} there ({error.strerror or error}; may need {max_bytes} bytes); "
                "free some space, or use a writable folder"
            ) from error
    finally:
        delete(temporary)
    for stale in leftover_temporary_paths(target):
        delete(stale)
    return target


def member_digests(
    archive: Path, names: Iterable[str], *, max_bytes: int = 1 << 32, max_members: int = 1 << 20
) -> dict[str, str | None]:
    """Return the sha256 of each named file in an archive, None for a missing one.

    Raises:
        UserError: `extract` would refuse the archive with the same limits.
    """
    digests: dict[str, str | None] = dict.fromkeys(names)
    for name, is_folder, content in _members(archive, max_bytes, max_members):
        if name in digests and not is_folder:
            digest = hashlib.sha256()
            for chunk in content:
                digest.update(chunk)
            digests[name] = digest.hexdigest()
    return digests


def _unpack(archive: Path, folder: Path, max_bytes: int, max_members: int) -> None:
    name = None
    for name, is_folder, content in _members(archive, max_bytes, max_members):
        path = folder / name
        (path if is_folder else path.parent).mkdir(parents=True, exist_ok=True)
        if not is_folder:
            with open(path, "xb") as file:
                file.writelines(content)
                file.flush()
                os.fsync(file.fileno())
    if name is None:
        raise UserError(f"{archive}: the archive is empty; delete it to have it downloaded again")


def _members(archive: Path, max_bytes: int, max_members: int) -> Iterator[tuple[str, bool, Iterator[bytes]]]:
    """Yield (name, is_folder, content) of each member; read the content before the next member."""
    remaining = max_bytes
    taken: dict[str, tuple[str, bool]] = {}

    def content(name: str, open_member: Callable[[], IO[bytes]]) -> Iterator[bytes]:
        nonlocal remaining
        with _user_errors(archive), open_member() as file:
            while chunk := file.read(_CHUNK):
                remaining -= len(chunk)
                if remaining < 0:
                    raise _refusal(archive, name, f"exceeds the {max_bytes} bytes expected in total")
                yield chunk

    with _user_errors(archive):
        for name, is_folder, open_member in _listing(archive):
            if problem := _name_problem(name, is_folder, taken):
                raise _refusal(archive, name, problem)
            if len(taken) > max_members:
                raise _refusal(archive, name, f"exceeds the {max_members} files and folders expected")
            yield name, is_folder, content(name, open_member)


@contextlib.contextmanager
def _user_errors(archive: Path) -> Iterator[None]:
    """Convert the various errors of the libraries for a damaged archive to UserError."""
    try:
        yield
    except _DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{archive}: not a readable zip or tar ({reason}); delete it and download again") from error


def _refusal(archive: Path, name: str, problem: str) -> UserError:
    return UserError(f"{archive}: refused as a whole: member {name[:80]!r} {problem}; use the published archive")


def _name_problem(name: str, is_folder: bool, taken: dict[str, tuple[str, bool]]) -> str | None:
    """Add a name and its parent folders to `taken`; return the problem if the name is not portable, else None."""
    parts = name.split("/")
    if len(name) > 1000 or len(parts) > _MAX_DEPTH or max(len(part.encode(errors="replace")) for part in parts) > 255:
        return "has too long a name"
    if not name.isprintable() or not all(map(_is_portable, parts)):
        return "has a name that is not portable, or outside of the target folder"
    for depth in range(1, len(parts) + 1):
        entry = ("/".join(parts[:depth]), is_folder or depth < len(parts))
        key = unicodedata.normalize("NFC", entry[0]).casefold()
        if key in taken and (taken[key] != entry or not entry[1]):
            return "is a duplicate, or differs from another name only by case"
        taken[key] = entry
    return None


def _is_portable(part: str) -> bool:
    """Return whether a name of a file or folder is valid, and the same, on Linux, macOS and Windows."""
    is_device = part.partition(".")[0].rstrip().upper() in _DEVICES
    return part.strip() != "" and part[-1] not in ". " and not is_device and not {*'\\:*?"<>|'} & {*part}


def _listing(archive: Path) -> _Listing:
    with open(archive, "rb") as file:
        magic = file.read(2)
    if magic == b"PK":
        return _zip_listing(archive)
    return _tar_listing(archive, gzip.open if magic == b"\x1f\x8b" else open)


def _zip_listing(archive: Path) -> _Listing:
    with zipfile.ZipFile(archive) as container:
        for info in container.infolist():
            name = info.orig_filename  # `filename` is cut at the first NUL
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refusal(archive, name, "is a link or a device")
            yield name.removesuffix("/"), name.endswith("/"), partial(container.open, info)


def _tar_listing(archive: Path, open_file: Callable[..., IO[bytes]]) -> _Listing:
    with open_file(archive, "rb") as file:
        stream = _ForwardStream(file)
        with tarfile.open(fileobj=stream, mode="r:") as container:
            for info in container:
                if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE) or info.issparse():
                    raise _refusal(archive, info.name, "is a link, a device or a sparse file")
                yield info.name, info.isdir(), partial(container.extractfile, info)
        # tarfile takes any unreadable header for the end. Read on after it: gzip verifies its checksum there.
        if stream.last != bytes(tarfile.BLOCKSIZE) or stream.read(_CHUNK).strip(b"\0") or stream.read(1):
            raise tarfile.ReadError("data after the end of the archive, or a damaged header")


class _ForwardStream:
    """A stream for tarfile that only moves forward and reads small chunks, whatever a header says."""

    def __init__(self, file: IO[bytes]):
        self.file, self.position, self.last = file, 0, b""

    def tell(self) -> int:
        return self.position

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _CHUNK:
            raise tarfile.ReadError("invalid size in a header")
        self.last = self.file.read(size)
        self.position += len(self.last)
        return self.last

    def seek(self, position: int) -> None:
        while self.position != position and self.read(min(_CHUNK, position - self.position)):
            pass
