import ast
import contextlib
import errno
import os
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from common.errors import UserError
from common.io import files
from common.io.files import (
    delete,
    is_temporary,
    leftover_temporary_paths,
    open_plain,
    plain_files,
    read_plain,
    remove_temporary_files,
    replacing,
    require_plain,
    sha256_of,
    temporary_path,
    write_atomically,
)
from tests.downloads import ROOT, digest_of

ODD_NAMES = ["plain", "with space", "[v2]", "a*b?", "back\\slash", "é\n", "x" * 255, "名" * 85, "\udcff"]


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_a_file_of_any_name_is_replaced_whole(tmp_path, name):
    path = tmp_path / name
    for content in ("old", b"new"):
        write_atomically(path, content)
    assert path.read_bytes() == b"new" and os.listdir(tmp_path) == [name]


def test_a_write_that_fails_leaves_what_was_there_and_nothing_else(tmp_path):
    write_atomically(tmp_path / "f", "old")
    with pytest.raises(ZeroDivisionError), replacing(tmp_path / "f") as part:
        part.write_text("half")
        _ = 1 / 0
    assert (tmp_path / "f").read_text() == "old" and os.listdir(tmp_path) == ["f"]


def test_a_folder_replaces_a_folder(tmp_path):
    for number in (1, 2):
        with replacing(tmp_path / "folder") as part:
            (part / "in").mkdir(parents=True)
            (part / "in" / f"file{number}").write_text("x")
    assert [path.name for path in (tmp_path / "folder" / "in").iterdir()] == ["file2"]
    assert os.listdir(tmp_path) == ["folder"]


def test_all_of_a_folder_is_on_disk_before_it_gets_its_name(tmp_path, monkeypatch):
    flushed = []
    monkeypatch.setattr(files, "fsync", lambda path: flushed.append((path.name, (tmp_path / "folder").exists())))
    with replacing(tmp_path / "folder") as part:
        (part / "in").mkdir(parents=True)
        (part / "in" / "file").write_text("x")
    assert sorted(flushed) == sorted([("in", False), ("file", False), (part.name, False), (tmp_path.name, True)])


def test_a_link_is_replaced_and_not_followed(tmp_path):
    (tmp_path / "precious").write_text("mine")
    (tmp_path / "link").symlink_to(tmp_path / "precious")
    write_atomically(tmp_path / "link", "theirs")
    assert (tmp_path / "precious").read_text() == "mine" and not (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("name", ODD_NAMES, ids=ascii)
def test_parts_are_known_by_their_names_and_swept(tmp_path, name):
    (tmp_path / "sub").mkdir()
    part, deep = temporary_path(tmp_path / name), temporary_path(tmp_path / "sub" / name)
    part.write_text("half")
    deep.mkdir()
    (tmp_path / ".mine.tmp").write_text("of the user")
    (tmp_path / ".mine.part").write_text("of the user")
    assert (
        is_temporary(part)
        and leftover_temporary_paths(tmp_path / name) == [part]
        and leftover_temporary_paths(tmp_path / "other") == []
    )
    remove_temporary_files(tmp_path)
    assert sorted(os.listdir(tmp_path)) == [".mine.part", ".mine.tmp", "sub"] and not os.listdir(tmp_path / "sub")


def test_what_another_process_is_writing_stays(tmp_path):
    code = "import os, sys; from common.io.files import *; temporary_path(Path(sys.argv[1])).mkdir(); print(flush=True)"
    writer = subprocess.Popen(
        [sys.executable, "-c", f"{code}; sys.stdin.read()", str(tmp_path / "saved_model")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    writer.stdout.readline()
    remove_temporary_files(tmp_path)
    assert len(leftover_temporary_paths(tmp_path / "saved_model")) == 1
    writer.kill()
    writer.wait()
    remove_temporary_files(tmp_path)
    assert not os.listdir(tmp_path)


def test_what_a_process_of_another_user_is_writing_stays(tmp_path, monkeypatch):
    def kill(process, number):
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    part = temporary_path(tmp_path / "saved_model")
    part.mkdir()
    monkeypatch.setattr(os, "kill", kill)
    remove_temporary_files(tmp_path)
    assert part.is_dir()


def test_no_sweep_goes_through_a_link(tmp_path):
    (tmp_path / "outside").mkdir()
    part = temporary_path(tmp_path / "outside" / "f")
    part.write_text("x")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "link").symlink_to(tmp_path / "outside")
    remove_temporary_files(tmp_path / "run")
    link = temporary_path(tmp_path / "run" / "l")
    link.symlink_to(tmp_path / "outside")
    delete(link)
    assert part.exists() and not link.is_symlink()


def pipe(path):
    os.mkfifo(path)


def link(path):
    path.with_name("target").write_text("x")
    path.symlink_to(path.with_name("target"))


def socket_file(path):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def device(path):
    path.symlink_to("/dev/zero")


ODD_THINGS = {"pipe": pipe, "link": link, "socket": socket_file, "device": device, "folder": os.mkdir}


@pytest.mark.parametrize("make", ODD_THINGS.values(), ids=ODD_THINGS)
def test_what_is_no_plain_file_is_refused_at_once(tmp_path, make):
    make(tmp_path / "thing")
    for read in (lambda path: read_plain(path, 10), sha256_of, lambda path: open_plain(path).close()):
        with pytest.raises((UserError, OSError), match="thing"):
            read(tmp_path / "thing")


@pytest.mark.parametrize("make", [pipe, link, socket_file, device])
def test_what_is_no_plain_file_is_not_data_and_no_part_of_a_run(tmp_path, make):
    (tmp_path / "sub").mkdir()
    make(tmp_path / "sub" / "thing")
    (tmp_path / "sub" / "file").write_text("x")
    (tmp_path / "sub" / ".hidden").write_text("x")
    names = {path.name for path in plain_files(tmp_path)}
    assert "file" in names and not {"thing", ".hidden"} & names
    with pytest.raises(UserError, match="thing: a "):
        require_plain(tmp_path)


def test_the_current_folder_is_replaced(tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with replacing(Path(".")) as part:
        part.mkdir()
        (part / "new").touch()
    assert os.listdir(tmp_path) == ["here"] and os.listdir(tmp_path / "here") == ["new"]


def test_a_link_that_the_user_names_is_followed_to_a_file_and_to_nothing_else(tmp_path):
    link(tmp_path / "thing")
    assert read_plain(tmp_path / "thing", 10, follow_links=True) == b"x"
    device(tmp_path / "other")
    with pytest.raises(UserError, match="other: a folder, a pipe or a device"):
        read_plain(tmp_path / "other", 10, follow_links=True)


def test_sizes_are_limited(tmp_path):
    (tmp_path / "f").write_bytes(b"12345")
    assert read_plain(tmp_path / "f", 5) == b"12345" and sha256_of(tmp_path / "f") == digest_of(b"12345")
    with pytest.raises(UserError, match="f: larger than 4 bytes"):
        read_plain(tmp_path / "f", 4)


WRITERS = {
    "common/app/cli.py": "open",  # the null device
    "common/data/archives.py": "open",  # into a temporary path, with limits and errors of its own
    "common/data/parallel_download.py": "open",
    "common/data/download.py": "open",
    "common/viz/figures.py": "savefig",  # into memory
    "common/io/files.py": "open",
    "common/data/images.py": "save",  # into memory
    "common/io/lock.py": "open",
    "common/app/saved_model.py": "save",  # into a temporary path
    "common/app/portable.py": "save write_bytes",  # likewise
    "common/io/tensors.py": "save",  # into memory
    "examples/image_captioning/preprocess/feature_store.py": "open",  # into a temporary path
}


ALWAYS_WRITE = {"write_text", "write_bytes", "savefig", "save_weights", "tofile", "savez", "imsave"}


def calls_that_write(path):
    """Yield the names of the calls in a module that write files."""
    calls = (node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call))
    for call in calls:
        owner, _, name = ast.unparse(call.func).rpartition(".")
        is_own = owner.split(".")[-1] in ("checkpoints", "vocabulary")  # whose `save` is one of these here
        mode = [*call.args[0 if owner else 1 :], *(word.value for word in call.keywords if word.arg == "mode")][:1]
        is_open = name == "open" and any({*"wxa+"} & {*each.value} for each in mode if isinstance(each, ast.Constant))
        if is_open or name in ALWAYS_WRITE or (name == "save" and not is_own):
            yield name


def test_files_are_written_by_replacing_alone():
    sources = [path for folder in ("common", "examples") for path in sorted((ROOT / folder).rglob("*.py"))]
    found = {str(path.relative_to(ROOT)): {*calls_that_write(path)} for path in sources if path.name != "notebook.py"}
    assert {name: calls for name, calls in found.items() if calls} == {
        name: {*call.split()} for name, call in WRITERS.items()
    }


def test_a_write_to_a_full_disk_names_the_file(tmp_path):
    with pytest.raises(OSError) as caught, replacing(tmp_path / "f"):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught.value.filename == str(tmp_path / "f")


@pytest.mark.parametrize(("code", "works"), [("EINVAL", True), ("ENOTSUP", True), ("EIO", False)])
def test_a_file_system_that_cannot_flush_folders_will_do_but_no_failing_one(tmp_path, monkeypatch, code, works):
    def fsync(descriptor, flush=os.fsync):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    with contextlib.nullcontext() if works else pytest.raises(OSError, match=os.strerror(errno.EIO)):
        write_atomically(tmp_path / "f", "x")


def test_runs_among_the_data_are_no_data(tmp_path):
    for name in ("a.txt", "run/config.json", "run/checkpoints/best", "run/samples/b.txt", "config/config.json"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in plain_files(tmp_path)] == ["a.txt", "config.json"]


def test_a_folder_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    def scandir(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(PermissionError):
        plain_files(tmp_path)
