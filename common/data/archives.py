"""Safe, atomic extraction of zip archives of unknown origin; every member is checked.

Only regular files and folders are accepted, with names that are portable between systems. An archive with a link, a
device or a name outside of the target is refused as a whole: no data set needs one.
"""

import contextlib
import hashlib
import lzma
import os
import stat
import unicodedata
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path

from common.errors import UserError
from common.io.files import delete, leftover_temporary_paths, temporary_path

_CHUNK = 1 << 15  # bytes
_DAMAGED = (zipfile.BadZipFile, zlib.error, lzma.LZMAError, EOFError, ValueError, RuntimeError, OSError)
_MAX_BYTES, _MAX_MEMBERS = 1 << 32, 1 << 20  # of an archive of which only digests are wanted
_MAX_DEPTH = 32  # nested folders
_DEVICES = {"CON", "PRN", "AUX", "NUL", *(f"{port}{n}" for port in ("COM", "LPT") for n in range(1, 10))}  # of Windows


def extract(archive: Path, target: Path, *, max_bytes: int, max_members: int) -> Path:
    """Extract a zip archive to the new folder `target`, and return `target`.

    The folder is renamed to `target` once it is complete, so an existing target is used without extraction. If several
    processes extract at once, all use the folder of the first to finish.

    `max_bytes` limits the size of all files together, as measured and not as headers say, and `max_members` the number
    of files and folders, parent folders included.

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


def member_digests(archive: Path, names: Iterable[str]) -> dict[str, str | None]:
    """Return the sha256 of each named file in an archive, None for a missing one.

    Raises:
        UserError: `extract` would refuse the archive with limits of `_MAX_BYTES` and `_MAX_MEMBERS`.
    """
    digests: dict[str, str | None] = dict.fromkeys(names)
    for name, is_folder, content in _members(archive, _MAX_BYTES, _MAX_MEMBERS):
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

    def content(name: str, info: zipfile.ZipInfo) -> Iterator[bytes]:
        nonlocal remaining
        with _user_errors(archive), container.open(info) as file:
            while chunk := file.read(_CHUNK):
                remaining -= len(chunk)
                if remaining < 0:
                    raise _refusal(archive, name, f"exceeds the {max_bytes} bytes expected in total")
                yield chunk

    with _user_errors(archive), zipfile.ZipFile(archive) as container:
        for info in container.infolist():
            is_folder = info.orig_filename.endswith("/")
            name = info.orig_filename.removesuffix("/")  # `filename` is cut at the first NUL
            if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise _refusal(archive, name, "is a link or a device")
            if problem := _name_problem(name, is_folder, taken):
                raise _refusal(archive, name, problem)
            if len(taken) > max_members:
                raise _refusal(archive, name, f"exceeds the {max_members} files and folders expected")
            yield name, is_folder, content(name, info)


@contextlib.contextmanager
def _user_errors(archive: Path) -> Iterator[None]:
    """Convert the various errors of the libraries for a damaged archive to UserError."""
    try:
        yield
    except _DAMAGED as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{archive}: not a readable zip ({reason}); delete it and download again") from error


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
