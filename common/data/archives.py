"""Zip and tar archives of unknown origin: checked member by member, extracted whole or not at all.

Only regular files and folders are accepted, under names that mean the same on every system. A link, a device or a name
that leads out of the target is no reason to skip a member but to refuse the archive: no data set needs one.
"""

import contextlib
import gzip
import hashlib
import os
import shutil
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
from common.io.files import part_path, stale_parts

_CHUNK = 1 << 15  # bytes; also the most that one tar header may take
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, ValueError, RuntimeError, OSError)
_MAX_DEPTH = 32  # folders one in the other
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(1, 10))}  # of Windows
_Listing = Iterator[tuple[str, bool, Callable[[], IO[bytes]]]]  # each member's name, is it a folder, what opens it


def extract(archive: Path, target: Path, *, max_bytes: int, max_members: int) -> Path:
    """Extract a zip, tar or tar.gz archive as the new folder `target`, and return `target`.

    The folder appears by a rename once it is complete, so one that is there already is used as it is; of several
    processes that extract at once, the first to finish wins and the others use its folder.

    Args:
        archive: the file; its content tells of which kind it is.
        target: the folder to create, with its parents.
        max_bytes: the most that all files together may hold, whatever their headers say.
        max_members: the most files and folders that may come of it, those on the way to listed ones included.

    Raises:
        UserError: the archive is damaged, too large or holds what is not allowed, or `target` cannot be written.
    """
    if target.is_dir():
        return target
    part = part_path(target)
    try:
        part.mkdir(parents=True)
        _unpack(archive, part, max_bytes, max_members)
        os.rename(part, target)
    except OSError as error:
        if not target.is_dir():  # or else a faster process has swept this one's part: no failure
            raise UserError(
                f"{target}: cannot extract {archive} there ({error.strerror or error}; may need {max_bytes} bytes); "
                "free some space, or use a folder that can be written"
            ) from error
    finally:
        shutil.rmtree(part, ignore_errors=True)
    for stale in stale_parts(target):
        shutil.rmtree(stale, ignore_errors=True)
    return target


def member_digests(
    archive: Path, names: Iterable[str], *, max_bytes: int = 1 << 32, max_members: int = 1 << 20
) -> dict[str, str | None]:
    """Return the sha256 of each of the named files in an archive, None for one that is not in it.

    Raises:
        UserError: `extract` would refuse the archive too, with the same limits.
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
    """Yield name, is it a folder, and content of each member; the content is to be read before the next member."""
    left = max_bytes
    taken: dict[str, tuple[str, bool]] = {}

    def content(name: str, open_member: Callable[[], IO[bytes]]) -> Iterator[bytes]:
        nonlocal left
        with _reading(archive), open_member() as file:
            while chunk := file.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise _refusal(archive, name, f"goes beyond the {max_bytes} bytes expected in all")
                yield chunk

    with _reading(archive):
        for name, is_folder, open_member in _listing(archive):
            if fault := _name_fault(name, is_folder, taken):
                raise _refusal(archive, name, fault)
            if len(taken) > max_members:
                raise _refusal(archive, name, f"is one more than the {max_members} files and folders expected")
            yield name, is_folder, content(name, open_member)


@contextlib.contextmanager
def _reading(archive: Path) -> Iterator[None]:
    """Turn the many ways in which the libraries report a bad archive into one."""
    try:
        yield
    except _DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{archive}: no readable zip or tar ({reason}); delete it and download again") from error


def _refusal(archive: Path, name: str, why: str) -> UserError:
    return UserError(f"{archive}: refused as a whole: member {name[:80]!r} {why}; use the published archive")


def _name_fault(name: str, is_folder: bool, taken: dict[str, tuple[str, bool]]) -> str | None:
    """Enter a name, and the folders on its way, in `taken`; say so if it cannot mean the same on every system."""
    parts = name.split("/")
    if len(name) > 1000 or len(parts) > _MAX_DEPTH or max(len(part.encode(errors="replace")) for part in parts) > 255:
        return "is too long a name"
    if not name.isprintable() or not all(map(_is_portable, parts)):
        return "is no plain name inside the target folder, on every system"
    for depth in range(1, len(parts) + 1):
        entry = ("/".join(parts[:depth]), is_folder or depth < len(parts))
        key = unicodedata.normalize("NFC", entry[0]).casefold()
        if key in taken and (taken[key] != entry or not entry[1]):
            return "comes twice, or differs from another name only by case"
        taken[key] = entry
    return None


def _is_portable(part: str) -> bool:
    """Say whether a name of a file or folder means one and the same on Linux, macOS and Windows."""
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
        stream = _Forward(file)
        with tarfile.open(fileobj=stream, mode="r:") as container:
            for info in container:
                if info.type not in (tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE) or info.issparse():
                    raise _refusal(archive, info.name, "is a link, a device or a sparse file")
                yield info.name, info.isdir(), partial(container.extractfile, info)
        # tarfile takes any header that it cannot read for the end. Read on after it: gzip keeps its checksum there.
        if stream.last != bytes(tarfile.BLOCKSIZE) or stream.read(_CHUNK).strip(b"\0") or stream.read(1):
            raise tarfile.ReadError("it does not end where its content does")


class _Forward:
    """A stream for tarfile in which no header can point backwards or ask for much memory."""

    def __init__(self, file: IO[bytes]):
        self.file, self.position, self.last = file, 0, b""

    def tell(self) -> int:
        return self.position

    def read(self, size: int) -> bytes:
        if not 0 <= size <= _CHUNK:
            raise tarfile.ReadError("header of impossible size")
        self.last = self.file.read(size)
        self.position += len(self.last)
        return self.last

    def seek(self, position: int) -> None:
        while self.position != position and self.read(min(_CHUNK, position - self.position)):
            pass
