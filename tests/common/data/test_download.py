"""The download cache when all goes well; what goes wrong is in faults/test_a_download.py."""

import errno
import hashlib
import io
import os
import sys
import zipfile
from pathlib import Path

import pytest

from common.data import archives
from common.data.download import Resource, cache_dir, fetch, is_offline
from tests.downloads import BODY, digest_of, failure, files_in, published

# A good server.


@pytest.mark.parametrize("path", ["ok", "no-length", "chunked"])
def test_download(server, tmp_path, path):
    result = fetch(published(server.url(path)), tmp_path)
    assert result == tmp_path / "data.bin"
    assert result.read_bytes() == BODY
    assert files_in(tmp_path) == ["data.bin"]
    assert len(server.log) == 1
    assert server.log[0][1]["Accept-Encoding"] == "identity"


def test_file_is_as_readable_as_others(server, tmp_path):
    other = tmp_path / "other"
    other.touch()
    assert fetch(published(server.url("ok")), tmp_path).stat().st_mode == other.stat().st_mode


def test_md5_alone(server, tmp_path):
    right, wrong = hashlib.md5(BODY).hexdigest(), "0" * 32
    fetch(published(server.url("ok"), sha256=None, md5=right), tmp_path)
    assert f"expected md5 {wrong}, got {right}" in failure(
        published(server.url("ok"), sha256=None, md5=wrong), tmp_path
    )


def test_data_is_on_disk_before_it_gets_its_name(server, tmp_path, monkeypatch):
    events = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda descriptor: (events.append("fsync"), fsync(descriptor)))
    monkeypatch.setattr(os, "replace", lambda *names: (events.append("replace"), replace(*names)))
    fetch(published(server.url("ok")), tmp_path)
    assert events == ["fsync", "replace", "fsync"]


def test_endless_body(server, tmp_path):
    message = failure(published(server.url("endless")), tmp_path)
    assert f"of {len(BODY)} bytes" in message
    assert files_in(tmp_path) == []


def test_part_swept_by_a_faster_process(server, tmp_path, monkeypatch):
    def lose(part, path):
        Path(part).unlink()
        Path(path).write_bytes(BODY)
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", part)

    monkeypatch.setattr(os, "replace", lose)
    assert fetch(published(server.url("ok")), tmp_path).read_bytes() == BODY


def test_stale_parts_of_this_file_only_are_swept(server, tmp_path):
    mine, other = archives.temporary_path(tmp_path / "data.bin"), archives.temporary_path(tmp_path / "data.bin.txt")
    mine.touch()
    other.touch()
    fetch(published(server.url("ok")), tmp_path)
    assert files_in(tmp_path) == sorted(["data.bin", other.name])


# What is in the cache already.


def test_file_that_verifies_is_used_as_it_is(server, tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(BODY)
    before = path.stat()
    fetch(published(server.url("ok")), tmp_path)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert server.log == []


def test_symlink_to_the_right_content_is_used(server, tmp_path):
    (tmp_path / "elsewhere").write_bytes(BODY)
    (tmp_path / "data.bin").symlink_to("elsewhere")
    assert fetch(published(server.url("ok")), tmp_path).is_symlink()
    assert server.log == []


# Where the cache is.


def test_choice_of_the_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    if sys.platform == "linux":
        assert cache_dir() == tmp_path / "xdg" / "eager-examples"
    monkeypatch.setenv("EAGER_EXAMPLES_DATA", "~/variable")
    assert cache_dir() == tmp_path / "variable"
    assert cache_dir("~/argument") == tmp_path / "argument"
    assert files_in(tmp_path) == [] and not list(tmp_path.iterdir())


@pytest.mark.parametrize(("value", "forbids"), [("1", True), ("yes", True), ("0", False), ("", False), (None, False)])
def test_connections_are_forbidden_by_any_value_but_zero(monkeypatch, value, forbids):
    monkeypatch.delenv("EAGER_EXAMPLES_OFFLINE", raising=False)
    if value is not None:
        monkeypatch.setenv("EAGER_EXAMPLES_OFFLINE", value)
    assert is_offline() == forbids


# What a resource must say of itself.


def test_resource_that_is_no_download():
    with pytest.raises(ValueError, match="expected"):
        published("file:///data.bin")


# Containers known by their members.

TEXT = b"Go.\tVe.\n" * 100


def zip_of(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name.replace("_", "/", 1) + ".txt", content)
    return buffer.getvalue()


def container(url: str, **changes: object) -> Resource:
    return published(url, **{"path": "set.zip", "members": {"set/text.txt": digest_of(TEXT)}, **changes})


@pytest.mark.parametrize("changes", [{}, {"sha256": None}, {"members": {"set/text.txt": None}}], ids=str)
def test_other_container_with_the_same_members(server, tmp_path, changes):
    (tmp_path / "set.zip").write_bytes(zip_of(set_text=TEXT, set_about=b"more"))
    assert fetch(container(server.url("ok"), **changes), tmp_path) == tmp_path / "set.zip"
    assert server.log == []


def test_download_of_a_container_known_by_its_members_alone(server, tmp_path):
    server.body = zip_of(set_text=TEXT)
    item = container(server.url("ok"), sha256=None, size=len(server.body))
    assert fetch(item, tmp_path).read_bytes() == server.body


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            zip_of(set_text=TEXT + b"!"),
            f"set/text.txt: expected sha256 {digest_of(TEXT)}, got {digest_of(TEXT + b'!')}",
        ),
        (zip_of(set_other=TEXT), f"set/text.txt: expected sha256 {digest_of(TEXT)}, got None"),
        (zip_of(set_text=TEXT)[:-30], "not a readable zip"),
        (b"", "not a readable zip"),
    ],
    ids=["other text", "missing", "cut", "empty"],
)
def test_container_with_other_members(server, tmp_path, content, words):
    (tmp_path / "set.zip").write_bytes(content)
    message = failure(container(server.url("404")), tmp_path)
    assert words in message and "does not verify" in message
    server.body = zip_of(set_text=TEXT)
    item = container(server.url("ok"), size=len(server.body), sha256=digest_of(server.body))
    assert fetch(item, tmp_path).read_bytes() == server.body


def test_member_that_only_has_to_be_there(server, tmp_path):
    (tmp_path / "set.zip").write_bytes(zip_of(set_other=TEXT))
    item = container(server.url("404"), members={"set/text.txt": None})
    assert "set/text.txt: expected it in there, got None" in failure(item, tmp_path)
