"""The download cache: whatever the server, the disk or a kill does, it returns the published file or one clear line."""

import errno
import hashlib
import io
import os
import random
import resource as limits
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from types import SimpleNamespace

import pytest
import requests
import urllib3

from common import archives, download
from common.download import Resource, cache_dir, fetch
from common.errors import UserError
from tests.http_server import FaultServer

ROOT = Path(__file__).parent.parent
BODY = random.Random(1).randbytes(300_000)
HALF = len(BODY) // 2


@pytest.fixture
def server() -> Iterator[FaultServer]:
    with FaultServer(BODY) as server:
        yield server


@pytest.fixture(autouse=True)
def calm(monkeypatch):
    """No proxy, no settings from outside, no waiting between tries."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("EAGER_EXAMPLES_DATA", raising=False)
    monkeypatch.delenv("EAGER_EXAMPLES_OFFLINE", raising=False)
    monkeypatch.setattr(download, "_BACKOFF", 0.001)


@pytest.fixture
def waits(monkeypatch) -> list[float]:
    """The seconds that `download` would have slept, which it now does not."""
    waits: list[float] = []
    monkeypatch.setattr(download, "time", SimpleNamespace(sleep=waits.append, monotonic=time.monotonic))
    return waits


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def digest_of(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def published(url: str, **changes: object) -> Resource:
    fields = {"path": "data.bin", "size": len(BODY), "licence": "none", "sha256": digest_of(BODY)}
    return Resource(url=url, **{**fields, **changes})


def failure(*arguments: object) -> str:
    """Return the message of the UserError with which `fetch` must fail, after checking that it is one line."""
    with pytest.raises(UserError) as caught:
        fetch(*arguments)
    message = str(caught.value)
    assert "\n" not in message
    return message


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def paths_of(server: FaultServer) -> list[str]:
    return [path for path, _ in server.log]


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


def test_no_range_is_ever_asked_for(server, tmp_path):
    fetch(published(server.url("cut-once")), tmp_path)
    assert len(server.log) == 2
    assert not any("Range" in headers or "If-Range" in headers for _, headers in server.log)


# Bodies that break off, and what is complete but wrong.


@pytest.mark.parametrize(
    ("path", "got", "tries"),
    [
        ("cut", HALF, 4),
        ("cut-no-length", HALF, 4),
        ("cut-chunked", HALF, 4),
        ("long-length", len(BODY), 4),
        ("short-length", HALF, 2),
    ],
)
def test_short_body(server, tmp_path, path, got, tries):
    message = failure(published(server.url(path)), tmp_path)
    assert f"got {got} of {len(BODY)} bytes" in message
    assert len(server.log) == tries
    assert files_in(tmp_path) == []
    assert fetch(published(server.url("ok")), tmp_path).read_bytes() == BODY


def test_reset(server, tmp_path):
    message = failure(published(server.url("reset")), tmp_path)
    assert f"of {len(BODY)} bytes" in message and "Reset" in message
    assert len(server.log) == 4
    assert files_in(tmp_path) == []


def test_wrong_bytes(server, tmp_path):
    message = failure(published(server.url("wrong")), tmp_path)
    wrong = BODY[:-1] + bytes([BODY[-1] ^ 1])
    assert f"expected sha256 {digest_of(BODY)}, got {digest_of(wrong)}" in message
    assert len(server.log) == 2
    assert files_in(tmp_path) == []


def test_wrong_bytes_once(server, tmp_path):
    assert fetch(published(server.url("wrong-once")), tmp_path).read_bytes() == BODY


def test_html_page(server, tmp_path):
    message = failure(published(server.url("html")), tmp_path)
    assert "login or proxy page" in message
    assert len(server.log) == 2
    assert files_in(tmp_path) == []


def test_html_page_of_the_right_length(server, tmp_path):
    page = b"<html>Please log in</html>"
    message = failure(published(server.url("html"), size=len(page)), tmp_path)
    assert "login or proxy page" in message and digest_of(page) in message


def test_endless_body(server, tmp_path):
    message = failure(published(server.url("endless")), tmp_path)
    assert f"of {len(BODY)} bytes" in message
    assert files_in(tmp_path) == []


# Slow servers.


@pytest.mark.parametrize(("path", "tries"), [("stall", 2), ("stall-at-once", 2)])
def test_stall(server, tmp_path, monkeypatch, path, tries):
    monkeypatch.setattr(download, "_TIMEOUT", 0.3)
    monkeypatch.setattr(download, "_TRIES", tries)
    start = time.monotonic()
    message = failure(published(server.url(path)), tmp_path)
    assert time.monotonic() - start < 10
    assert "127.0.0.1" in message and "timed out" in message
    assert len(server.log) == tries
    assert files_in(tmp_path) == []


def test_stall_once(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_TIMEOUT", 0.3)
    assert fetch(published(server.url("stall-once")), tmp_path).read_bytes() == BODY


def test_drip(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_WINDOW", 0.2)
    monkeypatch.setattr(download, "_TRIES", 2)
    message = failure(published(server.url("drip")), tmp_path)
    assert "127.0.0.1 is too slow" in message
    assert len(server.log) == 2
    assert files_in(tmp_path) == []


def test_worst_case_without_an_answer_ends_within_a_minute():
    backoff = sum(0.5 * 2**number for number in range(download._TRIES - 1))
    assert download._TRIES * max(download._TIMEOUT, download._WINDOW) + backoff <= 60


# Statuses.


def test_503_twice(server, tmp_path, waits):
    assert fetch(published(server.url("503-twice")), tmp_path).read_bytes() == BODY
    assert len(server.log) == 3
    assert waits == [0.001, 0.002]


@pytest.mark.parametrize(("path", "wait"), [("429-once", 7), ("503-for-an-hour", 30), ("429-odd", 0.001)])
def test_retry_after(server, tmp_path, waits, path, wait):
    assert fetch(published(server.url(path)), tmp_path).read_bytes() == BODY
    assert len(server.log) == 2
    assert waits == [wait]


def test_retry_after_a_date(server, tmp_path, waits, monkeypatch):
    date = formatdate(time.time() + 20, usegmt=True)
    monkeypatch.setattr(requests.Session, "get", answers(503, {"Retry-After": date}, then=requests.Session.get))
    assert fetch(published(server.url("ok")), tmp_path).read_bytes() == BODY
    assert 10 < waits[0] <= 20


def answers(status, headers, then=None):
    """Return a replacement for Session.get that gives one answer without a connection, then leaves it to `then`."""
    given = []

    def get(session, url, **options):
        if given and then:
            return then(session, url, **options)
        given.append(url)
        response = requests.Response()
        response.status_code, response.url = status, url
        response.headers.update(headers)
        response.raw = urllib3.HTTPResponse(io.BytesIO(), headers=headers, preload_content=False)
        return response

    return get


def test_503_for_ever(server, tmp_path):
    url = server.url("503")
    assert f"{url} answered 503" in failure(published(url), tmp_path)
    assert len(server.log) == 4


@pytest.mark.parametrize("status", ["404", "403"])
def test_no_second_request_when_it_is_refused(server, tmp_path, status):
    url = server.url(status)
    assert f"{url} answered {status}" in failure(published(url), tmp_path)
    assert len(server.log) == 1
    assert files_in(tmp_path) == []


# Redirects.


@pytest.mark.parametrize("path", ["redirect", "hop-10", "redirect-to-other-host", "redirect-with-endless-body"])
def test_redirect(server, tmp_path, path):
    assert fetch(published(server.url(path)), tmp_path).read_bytes() == BODY


@pytest.mark.parametrize(
    ("path", "requests_sent", "words"),
    [
        ("loop", 11, "more than 10 redirects"),
        ("hop-11", 11, "more than 10 redirects"),
        ("redirect-to-file", 1, "file:///etc/hostname"),
        ("redirect-to-nonsense", 1, "http://["),
    ],
)
def test_redirect_not_followed(server, tmp_path, path, requests_sent, words):
    assert words in failure(published(server.url(path)), tmp_path)
    assert len(server.log) == requests_sent
    assert files_in(tmp_path) == []


def test_redirect_from_https_to_http(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download._Session, "get", answers(302, {"Location": server.url("ok")}))
    message = failure(published("https://example.com/data.bin"), tmp_path)
    assert f"https://example.com/data.bin redirects to '{server.url('ok')}', which is not followed" in message
    assert server.log == []


# Kills and company.


def start(*lines: str, **variables: object) -> subprocess.Popen:
    """Start a process that imports `download`, sets the variables and runs the lines."""
    imports = ["import hashlib, os, sys, time", "from common.download import Resource, fetch"]
    script = "\n".join([*imports, *(f"{name} = {value!r}" for name, value in variables.items()), *lines])
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", script], env=environment, stderr=subprocess.PIPE, text=True)


def test_kill_in_the_middle_then_run_again(server, tmp_path):
    item = published(server.url("stall-once"))
    process = start("fetch(item, folder)", item=item, folder=str(tmp_path))
    assert server.half_sent.wait(30)
    process.kill()
    process.communicate()
    left = files_in(tmp_path)
    assert len(left) <= 1 and "data.bin" not in left
    assert fetch(item, tmp_path).read_bytes() == BODY
    assert files_in(tmp_path) == ["data.bin"]


def test_interrupt_in_the_middle(server, tmp_path):
    process = start(
        "import signal",
        "signal.signal(signal.SIGINT, signal.default_int_handler)",  # a shell's background jobs start with it ignored
        "try: fetch(item, folder)",
        "except KeyboardInterrupt: sys.exit(130)",
        item=published(server.url("stall")),
        folder=str(tmp_path),
    )
    assert server.half_sent.wait(30)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=30)
    assert process.returncode == 130, stderr
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("processes", [2, 8])
def test_processes_at_once_without_locks(server, tmp_path, processes):
    item = published(server.url("slow"))
    process = start(
        "import fcntl; fcntl.flock = fcntl.lockf = lambda *_: None",  # as on file systems that ignore locks
        "children = []",
        "for _ in range(count):",
        "    pid = os.fork()",
        "    if not pid:",
        "        time.sleep(max(0, begin - time.time()))",
        "        path = fetch(item, folder)",
        "        os._exit(0 if hashlib.sha256(path.read_bytes()).hexdigest() == item.sha256 else 1)",
        "    children.append(pid)",
        "sys.exit(max(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in children))",
        item=item,
        folder=str(tmp_path),
        count=processes,
        begin=time.time() + 1.0,
    )
    path = tmp_path / "data.bin"
    while process.poll() is None:
        assert not path.exists() or digest_of(path.read_bytes()) == item.sha256
        time.sleep(0.001)
    assert process.returncode == 0, process.communicate()[1]
    assert 1 <= len(server.log) <= processes
    assert files_in(tmp_path) == ["data.bin"]


def test_part_swept_by_a_faster_process(server, tmp_path, monkeypatch):
    def lose(part, path):
        Path(part).unlink()
        Path(path).write_bytes(BODY)
        raise FileNotFoundError(errno.ENOENT, "No such file or directory", part)

    monkeypatch.setattr(os, "replace", lose)
    assert fetch(published(server.url("ok")), tmp_path).read_bytes() == BODY


def test_stale_parts_of_this_file_only_are_swept(server, tmp_path):
    mine, other = archives.part_path(tmp_path / "data.bin"), archives.part_path(tmp_path / "data.bin.txt")
    mine.touch()
    other.touch()
    fetch(published(server.url("ok")), tmp_path)
    assert files_in(tmp_path) == sorted(["data.bin", other.name])


# The disk.


def assert_names_disk(message: str, path: Path) -> None:
    assert str(path) in message and f"{len(BODY)} bytes needed" in message and "EAGER_EXAMPLES_DATA" in message
    assert " free)" in message


def test_disk_full_in_the_body(server, tmp_path):
    earlier = tmp_path / "earlier"
    earlier.write_bytes(BODY)
    before = limits.getrlimit(limits.RLIMIT_FSIZE)
    limits.setrlimit(limits.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        message = failure(published(server.url("ok")), tmp_path)
    finally:
        limits.setrlimit(limits.RLIMIT_FSIZE, before)
    assert_names_disk(message, tmp_path / "data.bin")
    assert len(server.log) == 1
    assert files_in(tmp_path) == ["earlier"]
    assert earlier.read_bytes() == BODY


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_disk_full_at_the_end(server, tmp_path, monkeypatch, call):
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    message = failure(published(server.url("ok")), tmp_path)
    assert_names_disk(message, tmp_path / "data.bin")
    assert "No space left on device" in message
    assert files_in(tmp_path) == []


@pytest.fixture
def read_only(monkeypatch):
    """No file can be opened for writing; permissions alone do not stop root."""

    def open_read_only(path, mode="r", *arguments, **options):
        if set(mode) & set("wxa+"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return open(path, mode, *arguments, **options)

    monkeypatch.setattr(download, "open", open_read_only, raising=False)


def test_read_only_cache(server, tmp_path, read_only):
    (tmp_path / "data.bin").write_bytes(BODY)
    tmp_path.chmod(0o555)
    assert fetch(published(server.url("ok")), tmp_path) == tmp_path / "data.bin"
    message = failure(published(server.url("ok"), path="other.bin"), tmp_path)
    tmp_path.chmod(0o755)
    assert_names_disk(message, tmp_path / "other.bin")
    assert "Permission denied" in message
    assert server.log == []


def test_cache_that_cannot_be_created(server, tmp_path):
    (tmp_path / "file").touch()
    assert_names_disk(failure(published(server.url("ok")), tmp_path / "file" / "cache"), tmp_path / "file" / "cache")
    assert server.log == []


# What is in the cache already.


def test_file_that_verifies_is_used_as_it_is(server, tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(BODY)
    before = path.stat()
    fetch(published(server.url("ok")), tmp_path)
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert server.log == []


FLIPPED = BODY[:1000] + bytes([BODY[1000] ^ 1]) + BODY[1001:]


@pytest.mark.parametrize("content", [b"", BODY[:HALF], FLIPPED, BODY + b"!"], ids=["empty", "cut", "flipped", "long"])
def test_damaged_file_is_replaced(server, tmp_path, content):
    path = tmp_path / "data.bin"
    path.write_bytes(content)
    message = failure(published(server.url("404")), tmp_path)
    assert f"{path}, which does not verify" in message and "answered 404" in message
    assert path.read_bytes() == content
    assert fetch(published(server.url("ok")), tmp_path).read_bytes() == BODY
    assert files_in(tmp_path) == ["data.bin"]


def test_damage_is_told_with_expected_and_got(server, tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(FLIPPED)
    expected = f"expected sha256 {digest_of(BODY)}, got {digest_of(FLIPPED)}"
    assert expected in failure(published(server.url("404")), tmp_path)
    path.write_bytes(BODY[:HALF])
    assert f"got {HALF} of {len(BODY)} bytes" in failure(published(server.url("404")), tmp_path)


def test_folder_in_the_place_of_the_file(server, tmp_path):
    (tmp_path / "data.bin").mkdir()
    assert str(tmp_path / "data.bin") in failure(published(server.url("ok")), tmp_path)
    assert server.log == []


def test_pipe_in_the_place_of_the_file(server, tmp_path):
    os.mkfifo(tmp_path / "data.bin")
    assert "expected a file" in failure(published(server.url("ok")), tmp_path)


@pytest.mark.parametrize("content", [None, b"of somebody else"], ids=["dangling", "other file"])
def test_symlink_is_replaced_and_not_written_through(server, tmp_path, content):
    target, cache = tmp_path / "target", tmp_path / "cache"
    cache.mkdir()
    (cache / "data.bin").symlink_to(target)
    if content is not None:
        target.write_bytes(content)
    path = fetch(published(server.url("ok")), cache)
    assert path.read_bytes() == BODY and not path.is_symlink()
    assert (target.read_bytes() if target.exists() else None) == content


def test_symlink_to_the_right_content_is_used(server, tmp_path):
    (tmp_path / "elsewhere").write_bytes(BODY)
    (tmp_path / "data.bin").symlink_to("elsewhere")
    assert fetch(published(server.url("ok")), tmp_path).is_symlink()
    assert server.log == []


# Where the cache is.


@pytest.mark.parametrize("name", ["absent", "deep/er", "with spaces and üñïçødé"])
def test_cache_folder_is_created_where_it_was_asked_for(server, tmp_path, name):
    assert fetch(published(server.url("ok"), path="sub/data.bin"), tmp_path / name).read_bytes() == BODY
    assert files_in(tmp_path) == [f"{name}/sub/data.bin"]


def test_relative_cache_folder(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert fetch(published(server.url("ok")), "cache").read_bytes() == BODY
    assert files_in(tmp_path) == ["cache/data.bin"]


def test_choice_of_the_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    if sys.platform == "linux":
        assert cache_dir() == tmp_path / "xdg" / "eager-examples"
    monkeypatch.setenv("EAGER_EXAMPLES_DATA", "~/variable")
    assert cache_dir() == tmp_path / "variable"
    assert cache_dir("~/argument") == tmp_path / "argument"
    assert files_in(tmp_path) == [] and not list(tmp_path.iterdir())


def test_cache_folder_by_variable(server, tmp_path, monkeypatch):
    monkeypatch.setenv("EAGER_EXAMPLES_DATA", str(tmp_path / "cache"))
    fetch(published(server.url("ok")))
    assert files_in(tmp_path) == ["cache/data.bin"]


# No network.


def test_offline_with_the_file_there(tmp_path, monkeypatch, no_network):
    (tmp_path / "data.bin").write_bytes(BODY)
    for switch in ("0", "1"):
        monkeypatch.setenv("EAGER_EXAMPLES_OFFLINE", switch)
        assert fetch(published("https://example.com/data.bin"), tmp_path).read_bytes() == BODY


def test_offline_without_the_file(tmp_path, monkeypatch, no_network):
    monkeypatch.setenv("EAGER_EXAMPLES_OFFLINE", "1")
    start = time.monotonic()
    message = failure(published("https://example.com/data.bin"), tmp_path / "cache")
    assert time.monotonic() - start < 1
    for part in ("data.bin", "https://example.com/data.bin", str(len(BODY)), digest_of(BODY), "EAGER_EXAMPLES_OFFLINE"):
        assert part in message
    assert str(tmp_path / "cache" / "data.bin") in message
    assert not list(tmp_path.iterdir())


def test_connection_refused(tmp_path):
    with FaultServer(BODY) as server:
        url = server.url("ok")
    message = failure(published(url), tmp_path)
    assert "no connection to 127.0.0.1 (ConnectionRefusedError" in message
    assert url in message and str(tmp_path / "data.bin") in message and "--data-dir" in message
    assert files_in(tmp_path) == []


def test_unknown_host(tmp_path, monkeypatch):
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    message = failure(published("https://example.com/data.bin"), tmp_path)
    assert "no connection to example.com (gaierror" in message and "Name or service not known" in message


# What a resource must say of itself.


@pytest.mark.parametrize(
    "changes",
    [
        {"sha256": None},
        {"sha256": None, "members": {"a.txt": None}},
        {"sha256": "0" * 63},
        {"sha256": "G" * 64},
        {"md5": "0" * 64},
        {"members": {"a.txt": "short"}},
        {"path": "../data.bin"},
        {"path": "/data.bin"},
        {"path": ""},
        {"size": 0},
    ],
    ids=str,
)
def test_resource_that_cannot_be_verified(changes):
    with pytest.raises(ValueError, match="expected"):
        published("https://example.com/data.bin", **changes)


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
        (zip_of(set_text=TEXT)[:-30], "no readable zip"),
        (b"", "no readable zip"),
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
