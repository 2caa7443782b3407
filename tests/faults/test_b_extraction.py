"""Group B: an archive appears whole and inside its target, or it is refused and nothing appears."""

import errno
import hashlib
import os
import random
import shutil
import stat
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from common.data import archives
from common.errors import UserError
from tests.archive_files import CONTENT, MANY, refusal, snapshot, unpack, write_special, write_zip
from tests.downloads import start_process


def test_control_without_the_check_of_names_a_member_lands_outside(path, monkeypatch):
    monkeypatch.setattr(archives, "_name_problem", lambda *_: None)
    unpack(write_zip(path, [("good", b"good"), ("../x", b"bad")]))
    assert (path.parent / "x").exists()


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
    "deep": "x/" * 32 + "x",
    "a device of Windows": "a/nul.txt",
    "a device of Windows, in capitals": "COM1",
    "a dot at the end": "a.",
    "a space at the end": "a /b",
    "nothing but a space": " ",
    "a pipe": "a|b",
    "an arrow": "a<b",
    "a pattern": "a*b?",
    "a quotation mark": 'a"b',
}


@pytest.mark.parametrize("name", NAMES.values(), ids=NAMES.keys())
def test_b01_name_that_is_not_plain(path, name):
    message = refusal(write_zip(path, [("good", b"good"), (name, b"bad"), ("good too", b"good")]))
    assert repr(name[:80]) in message


def test_b01_name_with_nul(path):
    assert r"'a\x00b'" in refusal(write_zip(path, [("a\0b", b"bad")]))


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK])
def test_b02_neither_links_nor_devices(path, kind):
    assert "'link' is a link or a device" in refusal(write_special(path, "link", kind))


@pytest.mark.parametrize(("name", "kind"), [("f", stat.S_IFREG), ("d/", stat.S_IFDIR)])
@pytest.mark.parametrize("mode", [0o4777, 0o000, 0o644])
def test_b03_modes_are_plain(path, name, kind, mode):
    before = os.umask(0o022)
    try:
        target = unpack(write_special(path, name, kind, mode))
    finally:
        os.umask(before)
    modes = [stat.S_IMODE(entry.stat().st_mode) for entry in (target, target / name)]
    assert modes == [0o755, 0o755 if kind == stat.S_IFDIR else 0o644]


def test_b04_every_truncation(path):
    whole = write_zip(path, MANY[:3]).read_bytes()
    for length in [*range(0, len(whole), 701), len(whole) - 1]:
        path.write_bytes(whole[:length])
        assert "not a readable zip" in refusal(path)


def test_b04_wrong_checksum(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a", b"content")
    path.write_bytes(path.read_bytes().replace(b"content", b"contend"))
    assert "CRC" in refusal(path)


@pytest.mark.parametrize("content", [b"", b"<html>Please log in</html>" * 50, b"\x1f\x8b", b"PK", bytes(2000)])
def test_b05_no_archive_at_all(path, content):
    path.write_bytes(content)
    refusal(path)


def test_b05_no_file_at_all(path):
    message = refusal(path)
    assert message.startswith(str(path)) and "No such file" in message


def test_b05_zip_name_that_is_not_unicode(path):
    path.write_bytes(write_zip(path, [("\u00fc", b"u")]).read_bytes().replace("\u00fc".encode(), b"\xff\xff"))
    refusal(path)


def test_b05_archive_without_members(path):
    refusal(write_zip(path, []))


def test_b05_encrypted_zip(path):
    content = bytearray(write_zip(path, [("a", b"secret")]).read_bytes())
    content[6] |= 1
    content[content.index(b"PK\1\2") + 8] |= 1
    path.write_bytes(content)
    refusal(path)


def test_b05_damaged_lzma(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a", b"text " * 100)
    content = path.read_bytes()
    properties = content.index(b"a\t\x04\x05\x00") + 5  # after the name, the version and the length
    path.write_bytes(content[:properties] + b"\xff" * 5 + content[properties + 5 :])
    refusal(path)


def test_b05_random_damage_never_surfaces_as_anything_but_a_refusal(path):
    chance = random.Random(1)
    whole = write_zip(path, MANY[:3]).read_bytes()
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


@pytest.fixture
def most_on_disk(monkeypatch) -> Callable[[], int]:
    """The bytes that stood in the temporary folder when it was given up."""
    sizes = [0]
    rmtree = shutil.rmtree

    def weigh(folder: Path, **options: bool) -> None:
        sizes.append(sum(entry.stat().st_size for entry in Path(folder).rglob("*")))
        rmtree(folder, **options)

    monkeypatch.setattr(shutil, "rmtree", weigh)
    return lambda: max(sizes)


def test_b06_bomb(path, most_on_disk):
    write_zip(path, [("a", b"a"), ("bomb", bytes(30_000_000))])
    assert "'bomb' exceeds the 2000000 bytes" in refusal(path, max_bytes=2_000_000)
    assert most_on_disk() < 2_200_000 + 4096 * 2


def test_b06_budget_is_for_all_files_together(path):
    write_zip(path, [(f"{number}", bytes(1000)) for number in range(10)])
    assert "'9' exceeds" in refusal(path, max_bytes=9999)
    unpack(path, max_bytes=10_000)


def test_b06_too_many_members(path):
    write_zip(path, [(f"{number}", b"") for number in range(500)])
    assert "exceeds the 499 files and folders" in refusal(path, max_members=499)


def test_b12_folders_on_the_way_count_as_well(path, monkeypatch):
    """A few members in folders of their own would make thousands of folders."""
    made = []
    mkdir = Path.mkdir
    monkeypatch.setattr(Path, "mkdir", lambda self, *a, **k: (made.append(self), mkdir(self, *a, **k)))
    write_zip(path, [("/".join(f"{number}-{depth}" for depth in range(20)), b"") for number in range(50)])
    assert "exceeds the 60 files and folders" in refusal(path, max_members=60)
    assert len(made) < 200  # of a thousand
    unpack(path, max_members=1000)


def test_b06_zip_header_that_lies_about_the_size(path, most_on_disk):
    content = bytearray(write_zip(path, [("bomb", bytes(5_000_000))]).read_bytes())
    for signature, offset in ((b"PK\3\4", 22), (b"PK\1\2", 24)):
        start = content.index(signature) + offset
        content[start : start + 4] = (10).to_bytes(4, "little")
    path.write_bytes(content)
    refusal(path)
    assert most_on_disk() < 1_100_000


def test_b07_parts_of_killed_runs_are_swept(path):
    stale = archives.temporary_path(path.parent / "target")
    stale.mkdir()
    (stale / "half").touch()
    other = archives.temporary_path(path.parent / "target.old")
    other.mkdir()
    unpack(write_zip(path, MANY))
    assert not stale.exists() and other.exists()


def test_b07_interrupt_leaves_nothing(path, monkeypatch):
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    write_zip(path, MANY)
    monkeypatch.setattr(archives.os, "rename", interrupt)
    with pytest.raises(KeyboardInterrupt):
        unpack(path)
    assert os.listdir(path.parent) == ["archive"]


@pytest.mark.parametrize("swept", [False, True])
def test_b08_slower_process_uses_the_folder_of_the_faster(path, monkeypatch, swept):
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


def test_b09_second_run_touches_nothing(path):
    target = unpack(write_zip(path, list(CONTENT.items())))
    before = [(entry, entry.stat().st_ino, entry.stat().st_mtime_ns) for entry in sorted(target.rglob("*"))]
    path.write_bytes(b"not even read")
    unpack(path)
    assert before == [(entry, entry.stat().st_ino, entry.stat().st_mtime_ns) for entry in sorted(target.rglob("*"))]


CLASHES = {
    "twice": ["a", "a"],
    "case": ["a/Read.me", "a/read.ME"],
    "case of a folder": ["Data/a", "data/b"],
    "composition": ["\u00e9", "e\u0301"],
    "file, then folder": ["a", "a/b"],
    "folder, then file": ["a/b", "a"],
}


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("names", CLASHES.values(), ids=CLASHES.keys())
def test_b10_names_that_clash(path, names):
    assert "is a duplicate" in refusal(write_zip(path, [(name, name.encode()) for name in names]))


def test_b11_own_files_in_the_target_stay(path):
    target = path.parent / "target"
    target.mkdir()
    (target / "mine").write_bytes(b"mine")
    path.write_bytes(b"no archive")
    assert unpack(path) == target
    assert snapshot(target) == {"mine": hashlib.sha256(b"mine").hexdigest()}


def test_b11_a_file_in_the_place_of_the_target_stays(path):
    (path.parent / "target").write_bytes(b"mine")
    assert "cannot extract" in refusal(write_zip(path, MANY))


def test_b11_disk_full(path, monkeypatch):
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    write_zip(path, MANY)
    monkeypatch.setattr(archives.os, "fsync", full)
    assert "No space left on device" in refusal(path)


def start_extraction(*lines, archive):
    return start_process(
        "from pathlib import Path",
        "from common.data import archives",
        "folder = Path(archive).parent",
        "def unpack(): return archives.extract(Path(archive), folder / 'target', max_bytes=10**7, max_members=100)",
        *lines,
        archive=str(archive),
    )


def test_b07_kills_at_random_points_each_followed_by_another_run(path):
    chance = random.Random(1)
    process = start_extraction(
        "import shutil",
        "def unpack_and_die(point):",
        "    if isinstance(point, str):",
        "        setattr(os, point, lambda *_: os.kill(os.getpid(), signal.SIGKILL))",
        "    unpack()",
        "    os._exit(0)",
        "killed = 0",
        f"for point in {['fsync', 'rename', 0.0, *(chance.uniform(0, 0.02) for _ in range(9))]}:",
        "    pid = os.fork() or unpack_and_die(point)",
        "    if not isinstance(point, str):",
        "        time.sleep(point)",
        "        os.kill(pid, signal.SIGKILL)",
        "    killed += os.waitpid(pid, 0)[1] == signal.SIGKILL",
        "    assert len(os.listdir(folder)) <= 2",  # beside the archive either the target or one part
        "    assert len(os.listdir(unpack() / 'set')) == 20",
        "    assert sorted(os.listdir(folder)) == ['archive', 'target']",
        "    shutil.rmtree(folder / 'target')",
        "assert killed >= 3",
        archive=write_zip(path, MANY),
    )
    assert process.wait() == 0, process.communicate()[1]


def test_b08_a_faster_process_sweeps_the_part_under_the_pen(path, monkeypatch):
    archive, target = write_zip(path, MANY), path.parent / "target"

    def fsync_and_be_swept(_file):
        (target / "set").mkdir(parents=True, exist_ok=True)
        for part in archives.leftover_temporary_paths(target):
            shutil.rmtree(part / "set", ignore_errors=True)

    monkeypatch.setattr(os, "fsync", fsync_and_be_swept)
    assert archives.extract(archive, target, max_bytes=10**7, max_members=100) == target


def test_b08_eight_processes_at_once_and_a_reader(path):
    process = start_extraction(
        "begin = time.time() + 0.5",
        "children = []",
        "for _ in range(8):",
        "    pid = os.fork()",
        "    if not pid:",
        "        time.sleep(max(0, begin - time.time()))",
        "        os._exit(len(os.listdir(unpack() / 'set')) != 20)",
        "    children.append(pid)",
        "sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children))",
        archive=write_zip(path, MANY),
    )
    target = path.parent / "target"
    while process.poll() is None:
        assert not target.exists() or len(os.listdir(target / "set")) == 20
        time.sleep(0.001)
    assert process.returncode == 0, process.communicate()[1]
    assert sorted(os.listdir(path.parent)) == ["archive", "target"]
