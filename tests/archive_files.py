"""Archives to extract, good and bad, and what must be said of the bad ones."""

import hashlib
import random
import stat
import zipfile
from pathlib import Path

import pytest

from common.data.archives import extract
from common.errors import UserError

Members = list[tuple[str, bytes]]
CONTENT = {"set/a.txt": b"alpha\n", "set/sub/b.bin": random.Random(1).randbytes(200_000), "set/c.txt": b""}
MANY: Members = [(f"set/{number:02}.bin", random.Random(number).randbytes(3000)) for number in range(20)]


def write_zip(path: Path, members: Members) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            info = zipfile.ZipInfo("placeholder")
            info.filename, info.compress_type = name, zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return path


def write_special(path: Path, name: str, kind: int, mode: int = 0o777) -> Path:
    """Write a zip with a good member, and another of this kind (see `stat`) and mode."""
    info = zipfile.ZipInfo(name)
    info.create_system, info.external_attr = 3, (kind | mode) << 16  # 3: Unix
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good", b"good")
        archive.writestr(info, b"" if kind == stat.S_IFDIR else b"/etc/hostname")
    return path


def unpack(archive: Path, max_bytes: int = 10**6, max_members: int = 100) -> Path:
    return extract(archive, archive.parent / "target", max_bytes=max_bytes, max_members=max_members)


def snapshot(folder: Path) -> dict[str, str | None]:
    """Return every path below a folder, with the digest of each file."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
        for path in folder.rglob("*")
    }


def refusal(archive: Path, **budget: int) -> str:
    """Return the message with which the archive must be refused, after checking that nothing has changed on disk."""
    folder = archive.parent.parent
    before = snapshot(folder)
    with pytest.raises(UserError) as caught:
        unpack(archive, **budget)
    assert snapshot(folder) == before
    message = str(caught.value)
    assert message.isprintable()
    assert str(archive) in message
    return message
