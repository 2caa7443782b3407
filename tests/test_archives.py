"""Extraction: an archive appears whole and inside its target, or it is refused and nothing appears."""

import errno
import gzip
import hashlib
import io
import os
import random
import re
import shutil
import stat
import tarfile
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from common import archives
from common.archives import extract, member_digests
from common.errors import UserError

CONTENT = {"set/a.txt": b"alpha\n", "set/sub/b.bin": random.Random(1).randbytes(200_000), "set/c.txt": b""}
Members = list[tuple[str, bytes]]


def write_zip(path: Path, members: Members) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            info = zipfile.ZipInfo("placeholder")
            info.filename, info.compress_type = name, zipfile.ZIP_DEFLATED
            archive.writestr(info, content)
    return path


def write_tar(path: Path, members: Members, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:
        for name, content in members:
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


def write_tar_gz(path: Path, members: Members) -> Path:
    return write_tar(path, members, "w:gz")


def write_special(path: Path, *infos: tarfile.TarInfo) -> Path:
    """Write a tar of members without content."""
    with tarfile.open(path, "w") as archive:
        for info in infos:
            archive.addfile(info)
    return path


def special(name: str, kind: bytes, linkname: str = "", mode: int = 0o644) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.mode = kind, linkname, mode
    return info


WRITERS = pytest.mark.parametrize("write", [write_zip, write_tar, write_tar_gz])


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


@pytest.fixture
def path(tmp_path) -> Path:
    """Where to write the archive: in a folder of its own, below one with a file that is not to change."""
    (tmp_path / "outside").write_bytes(b"untouched")
    (tmp_path / "inside").mkdir()
    return tmp_path / "inside" / "archive"


# Good archives.


@WRITERS
def test_extract(path, write):
    target = unpack(write(path, list(CONTENT.items())))
    assert target == path.parent / "target"
    assert {name: (target / name).read_bytes() for name in CONTENT} == CONTENT
    assert sorted(os.listdir(path.parent)) == ["archive", "target"]


def test_tar_with_folders_and_long_names(path):
    name = "/".join(["folder" * 10] * 5) + "/file.txt"
    with tarfile.open(path, "w:gz", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(special("set", tarfile.DIRTYPE, mode=0o755))
        archive.addfile(special(name, tarfile.REGTYPE))
        archive.addfile(special("set/ünïcødé.txt", tarfile.REGTYPE))
    target = unpack(path)
    assert (target / name).is_file() and (target / "set/ünïcødé.txt").is_file()


def test_tar_that_ends_in_a_zip_is_a_tar(path):
    inner = write_zip(path, [("inner", b"inner")]).read_bytes()
    assert os.listdir(unpack(write_tar(path, [("set.zip", inner)]))) == ["set.zip"]


@pytest.mark.parametrize("mode", [0o4777, 0o000, 0o644])
def test_modes_are_plain(path, mode):
    before = os.umask(0o022)
    try:
        target = unpack(write_special(path, special("d", tarfile.DIRTYPE, mode=mode), special("d/f", b"0", mode=mode)))
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(entry.stat().st_mode) for entry in (target, target / "d", target / "d/f")]
    assert modes == [0o755, 0o755, 0o644]


def test_second_run_touches_nothing(path):
    target = unpack(write_zip(path, list(CONTENT.items())))
    before = [(entry, entry.stat().st_ino, entry.stat().st_mtime_ns) for entry in sorted(target.rglob("*"))]
    path.write_bytes(b"not even read")
    start = time.monotonic()
    unpack(path)
    assert time.monotonic() - start < 0.1
    assert before == [(entry, entry.stat().st_ino, entry.stat().st_mtime_ns) for entry in sorted(target.rglob("*"))]


# Names.


NAMES = {
    "parent": "../x",
    "hidden parent": "a/../../x",
    "harmless parent": "a/../x",
    "absolute": "/x",
    "drive": "C:\\x",
    "drive, slashes": "C:/x",
    "backslash": "..\\x",
    "empty": "",
    "empty part": "a//x",
    "dot": "./x",
    "newline": "a\nb",
    "escape": "\x1b[31mred",
    "bell": "a\x07",
    "direction": "a\u202etxt.exe",
    "too long": "x" * 300,
    "too long in bytes": "\u00fc" * 128,
    "too deep": "x/" * 10_000 + "x",
}


@WRITERS
@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_name_that_is_not_plain(path, write, name):
    message = refusal(write(path, [("good", b"good"), (name, b"bad"), ("good too", b"good")]))
    assert repr(name[:80]) in message


def test_name_with_nul(path):
    assert r"'a\x00b'" in refusal(write_zip(path, [("a\0b", b"bad")]))
    info = special("x", tarfile.REGTYPE)
    info.pax_headers = {"path": "a\0b"}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info)
    refusal(path)


def test_name_that_is_not_text(path):
    refusal(write_special(path, special("\udcff", tarfile.REGTYPE)))


CLASHES = {
    "twice": ["a", "a"],
    "case": ["a/Read.me", "a/read.ME"],
    "case of a folder": ["Data/a", "data/b"],
    "composition": ["\u00e9", "e\u0301"],
    "file, then folder": ["a", "a/b"],
    "folder, then file": ["a/b", "a"],
}


@WRITERS
@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", CLASHES.values(), ids=CLASHES.keys())
def test_names_that_clash(path, write, names):
    assert "comes twice" in refusal(write(path, [(name, name.encode()) for name in names]))


# Links and devices.


LINKS = {
    "symlink outside": [special("link", tarfile.SYMTYPE, "/etc"), special("link/x", tarfile.REGTYPE)],
    "relative symlink": [special("link", tarfile.SYMTYPE, "../.."), special("link/x", tarfile.REGTYPE)],
    "symlink inside": [special("a", tarfile.REGTYPE), special("link", tarfile.SYMTYPE, "a")],
    "chain": [special("a", tarfile.SYMTYPE, "."), special("a/b", tarfile.SYMTYPE, ".."), special("a/b/x", b"0")],
    "hard link outside": [special("link", tarfile.LNKTYPE, "../outside")],
    "hard link by an outside name": [special("a", tarfile.REGTYPE), special("../x", tarfile.LNKTYPE, "a")],
    "character device": [special("device", tarfile.CHRTYPE)],
    "block device": [special("device", tarfile.BLKTYPE)],
    "pipe": [special("pipe", tarfile.FIFOTYPE)],
    "contiguous file": [special("file", tarfile.CONTTYPE)],
    "path longer than the system's": [
        *(special("/".join(["d" * 200] * depth), tarfile.DIRTYPE) for depth in range(1, 4)),
        special("/".join(["d" * 200] * 3 + ["l"]), tarfile.SYMTYPE, "../" * 100),
        special("/".join(["d" * 200] * 3 + ["l", "x"]), tarfile.REGTYPE),
    ],
}


@pytest.mark.parametrize("infos", LINKS.values(), ids=LINKS.keys())
def test_neither_links_nor_devices(path, infos):
    assert "is a link, a device" in refusal(write_special(path, *infos))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFIFO])
def test_neither_links_nor_devices_in_zip(path, kind):
    info = zipfile.ZipInfo("link")
    info.create_system, info.external_attr = 3, (kind | 0o777) << 16
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("good", b"good")
        archive.writestr(info, b"/etc/hostname")
    assert "'link' is a link or a device" in refusal(path)


def test_no_sparse_file(path):
    info = special("holes", tarfile.REGTYPE)
    info.pax_headers = {"GNU.sparse.map": "0,1", "GNU.sparse.size": "1"}
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        archive.addfile(info)
    assert "or a sparse file" in refusal(path)


# Damage.


MANY: Members = [(f"set/{number:02}.bin", random.Random(number).randbytes(3000)) for number in range(20)]


def test_every_truncation(path):
    for write in (write_zip, write_tar_gz):
        whole = write(path, MANY[:3]).read_bytes()
        for length in [*range(0, len(whole), 701), len(whole) - 1]:
            path.write_bytes(whole[:length])
            assert "no readable zip or tar" in refusal(path)


@pytest.mark.parametrize("compress", [bytes, gzip.compress], ids=["tar", "tar.gz"])
@pytest.mark.parametrize("members", [1, 10, 19])
def test_tar_cut_between_members(path, compress, members):
    whole = write_tar(path, MANY).read_bytes()
    path.write_bytes(compress(whole[: members * (512 + 3072)]))
    refusal(path)


def test_tar_with_a_damaged_header_in_the_middle(path):
    whole = bytearray(write_tar(path, MANY).read_bytes())
    whole[10 * (512 + 3072)] ^= 1
    path.write_bytes(whole)
    refusal(path)


def test_tar_with_more_after_its_end(path):
    path.write_bytes(write_tar(path, MANY).read_bytes() + b"hidden")
    refusal(path)


def test_wrong_checksums(path):
    whole = bytearray(write_tar_gz(path, MANY).read_bytes())
    whole[-8] ^= 1  # in the CRC that ends every gzip file
    path.write_bytes(whole)
    refusal(path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"content")
    path.write_bytes(path.read_bytes().replace(b"content", b"contend"))
    assert "CRC" in refusal(path)


@pytest.mark.parametrize("content", [b"", b"<html>Please log in</html>" * 50, b"\x1f\x8b", b"PK", bytes(2000)])
def test_no_archive_at_all(path, content):
    path.write_bytes(content)
    refusal(path)


def test_no_file_at_all(path):
    message = refusal(path)
    assert message.startswith(str(path)) and "No such file" in message


def test_zip_name_that_is_not_unicode(path):
    path.write_bytes(write_zip(path, [("\u00fc", b"u")]).read_bytes().replace("\u00fc".encode(), b"\xff\xff"))
    refusal(path)


@WRITERS
def test_archive_without_members(path, write):
    refusal(write(path, []))


def test_encrypted_zip(path):
    content = bytearray(write_zip(path, [("a", b"secret")]).read_bytes())
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    refusal(path)


def test_random_damage_never_surfaces_as_anything_but_a_refusal(path):
    chance = random.Random(1)
    for write in (write_zip, write_tar):
        whole = write(path, MANY[:3]).read_bytes()
        for _ in range(150):
            damaged = bytearray(whole)
            start = chance.choice([0, 0, len(whole) - 400, chance.randrange(len(whole))])
            for _ in range(chance.randrange(1, 4)):
                damaged[chance.randrange(start, min(start + 400, len(whole)))] = chance.randrange(256)
            path.write_bytes(damaged)
            try:
                shutil.rmtree(unpack(path))
            except UserError as error:
                assert "\n" not in str(error)
            assert os.listdir(path.parent) == ["archive"]


# Budgets.


@pytest.fixture
def most_on_disk(monkeypatch) -> Callable[[], int]:
    """The bytes that stood in the temporary folder when it was given up."""
    sizes = [0]
    rmtree = shutil.rmtree

    def weigh(folder: Path, **options: bool) -> None:
        sizes.append(sum(entry.stat().st_size for entry in Path(folder).rglob("*")))
        rmtree(folder, **options)

    monkeypatch.setattr(archives.shutil, "rmtree", weigh)
    return lambda: max(sizes)


@WRITERS
def test_bomb(path, write, most_on_disk):
    write(path, [("a", b"a"), ("bomb", bytes(30_000_000))])
    assert "'bomb' goes beyond the 2000000 bytes" in refusal(path, max_bytes=2_000_000)
    assert most_on_disk() < 2_200_000 + 4096 * 2


@WRITERS
def test_budget_is_for_all_files_together(path, write):
    write(path, [(f"{number}", bytes(1000)) for number in range(10)])
    assert "'9' goes beyond" in refusal(path, max_bytes=9999)
    unpack(path, max_bytes=10_000)


@WRITERS
def test_too_many_members(path, write):
    write(path, [(f"{number}", b"") for number in range(500)])
    assert "one more than the 499 members" in refusal(path, max_members=499)


def test_zip_header_that_lies_about_the_size(path, most_on_disk):
    content = bytearray(write_zip(path, [("bomb", bytes(5_000_000))]).read_bytes())
    for signature, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        start = content.index(signature) + offset
        content[start : start + 4] = (10).to_bytes(4, "little")
    path.write_bytes(content)
    refusal(path)
    assert most_on_disk() < 1_100_000


@pytest.mark.parametrize("size", [b"77777777777", b"\xff" * 10 + b"\x00\x00"], ids=["huge", "negative"])
@pytest.mark.parametrize("kind", [b"L", b"K", b"x", b"g"])
def test_tar_header_that_lies_about_the_size(path, kind, size):
    block = bytearray(special("a", kind).tobuf())
    block[124 : 124 + len(size)] = size
    block[148:156] = b"%06o\0 " % (sum(block) - sum(block[148:156]) + 8 * 32)
    path.write_bytes(gzip.compress(bytes(block) + bytes(3_000_000)))
    assert "header of impossible size" in refusal(path)


# Disturbed runs.


def test_own_files_in_the_target_stay(path):
    target = path.parent / "target"
    target.mkdir()
    (target / "mine").write_bytes(b"mine")
    path.write_bytes(b"no archive")
    assert unpack(path) == target
    assert snapshot(target) == {"mine": hashlib.sha256(b"mine").hexdigest()}


def test_a_file_in_the_place_of_the_target_stays(path):
    (path.parent / "target").write_bytes(b"mine")
    assert "cannot extract" in refusal(write_zip(path, MANY))


def test_target_that_cannot_be_created(path):
    write_zip(path, MANY)
    with pytest.raises(UserError, match=re.escape(str(path / "sub" / "target"))):
        extract(path, path / "sub" / "target", max_bytes=10**6, max_members=100)


def test_disk_full(path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_zip(path, MANY)
    monkeypatch.setattr(archives.os, "fsync", full)
    assert "No space left on device" in refusal(path)


def test_interrupt_leaves_nothing(path, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    write_zip(path, MANY)
    monkeypatch.setattr(archives.os, "rename", interrupt)
    with pytest.raises(KeyboardInterrupt):
        unpack(path)
    assert os.listdir(path.parent) == ["archive"]


@pytest.mark.parametrize("swept", [False, True])
def test_slower_process_uses_the_folder_of_the_faster(path, monkeypatch, swept):
    rename = os.rename

    def lose(part: Path, target: Path) -> None:
        shutil.copytree(part, target)
        (target / "by the other").touch()
        if swept:
            shutil.rmtree(part)
        rename(part, target)

    write_zip(path, MANY)
    monkeypatch.setattr(archives.os, "rename", lose)
    assert (unpack(path) / "by the other").exists()
    assert sorted(os.listdir(path.parent)) == ["archive", "target"]


def test_parts_of_killed_runs_are_swept(path):
    stale = archives.part_path(path.parent / "target")
    stale.mkdir()
    (stale / "half").touch()
    other = archives.part_path(path.parent / "target.old")
    other.mkdir()
    unpack(write_zip(path, MANY))
    assert not stale.exists() and other.exists()


# Digests of members.


@WRITERS
def test_member_digests(path, write):
    write(path, list(CONTENT.items()))
    found = member_digests(path, ["set/a.txt", "set/sub/b.bin", "set/other", "set"])
    expected = {name: hashlib.sha256(CONTENT[name]).hexdigest() for name in ("set/a.txt", "set/sub/b.bin")}
    assert found == {**expected, "set/other": None, "set": None}


def test_member_digests_know_no_folders(path):
    assert member_digests(write_zip(path, [("set/", b"")]), ["set"]) == {"set": None}
    assert member_digests(write_special(path, special("set", tarfile.DIRTYPE)), ["set"]) == {"set": None}


def test_member_digests_refuse_what_extract_refuses(path):
    write_tar(path, [("a", b"one"), ("a", b"two")])
    with pytest.raises(UserError, match="comes twice"):
        member_digests(path, ["a"])
    path.write_bytes(b"no archive")
    with pytest.raises(UserError, match="no readable zip or tar"):
        member_digests(path, ["a"])


@WRITERS
def test_member_digests_have_a_budget(path, write):
    write(path, [("a", bytes(5000)), ("b", bytes(5000))])
    with pytest.raises(UserError, match="goes beyond the 9000 bytes"):
        member_digests(path, ["a", "b"], max_bytes=9000)
