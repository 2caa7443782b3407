"""Group A: whatever the server, the disk or a kill does, the published file is there whole, or one clear line is."""

import errno
import io
import os
import random
import resource as limits
import signal
import socket
import time
from email.utils import formatdate
from pathlib import Path

import pytest
import requests
import urllib3

from common.data import download
from common.data.download import fetch
from common.data.parallel_download import download_many
from common.errors import UserError
from tests.downloads import BODY, HALF, digest_of, failure, files_in, published, start_process
from tests.http_server import FaultServer

pytestmark = pytest.mark.usefixtures("calm")


def test_control_without_the_check_a_wrong_file_gets_through(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_check", lambda *_: None)
    assert fetch(published(server.url("wrong")), tmp_path).read_bytes() != BODY


def assert_short(server, folder, path, got, attempts):
    message = failure(published(server.url(path)), folder)
    assert f"got {got} of {len(BODY)} bytes" in message
    assert len(server.log) == attempts
    assert files_in(folder) == []
    assert fetch(published(server.url("ok")), folder).read_bytes() == BODY


def test_a01_cut_with_content_length(server, tmp_path):
    assert_short(server, tmp_path, "cut", HALF, attempts=4)


@pytest.mark.parametrize("path", ["cut-no-length", "cut-chunked"])
def test_a02_cut_without_content_length(server, tmp_path, path):
    assert_short(server, tmp_path, path, HALF, attempts=4)


@pytest.mark.parametrize(("path", "got", "attempts"), [("long-length", len(BODY), 4), ("short-length", HALF, 2)])
def test_a09_content_length_that_lies(server, tmp_path, path, got, attempts):
    assert_short(server, tmp_path, path, got, attempts)


def test_a12_no_range_is_ever_asked_for(server, tmp_path):
    fetch(published(server.url("cut-once")), tmp_path)
    assert len(server.log) == 2
    assert not any("Range" in headers or "If-Range" in headers for _, headers in server.log)


def test_a10_reset_in_the_body(server, tmp_path):
    message = failure(published(server.url("reset")), tmp_path)
    assert f"of {len(BODY)} bytes" in message and "Reset" in message
    assert len(server.log) == 4
    assert files_in(tmp_path) == []


def test_a07_wrong_bytes_right_length(server, tmp_path):
    message = failure(published(server.url("wrong")), tmp_path)
    wrong = BODY[:-1] + bytes([BODY[-1] ^ 1])
    assert f"expected sha256 {digest_of(BODY)}, got {digest_of(wrong)}" in message
    assert len(server.log) == 2
    assert files_in(tmp_path) == []


def test_a07_wrong_bytes_once(server, tmp_path):
    assert fetch(published(server.url("wrong-once")), tmp_path).read_bytes() == BODY


def test_a08_login_page(server, tmp_path):
    message = failure(published(server.url("html")), tmp_path)
    assert "login or proxy page" in message
    assert len(server.log) == 2
    assert files_in(tmp_path) == []


def test_a08_login_page_of_the_right_length(server, tmp_path):
    page = b"<html>Please log in</html>"
    message = failure(published(server.url("html"), size=len(page)), tmp_path)
    assert "login or proxy page" in message and digest_of(page) in message


@pytest.mark.parametrize(("path", "attempts"), [("stall", 2), ("stall-at-once", 2)])
def test_a03_stall(server, tmp_path, monkeypatch, path, attempts):
    monkeypatch.setattr(download, "_TIMEOUT", 0.3)
    monkeypatch.setattr(download, "_MAX_ATTEMPTS", attempts)
    message = failure(published(server.url(path)), tmp_path)
    assert "127.0.0.1" in message and "timed out" in message
    assert len(server.log) == attempts
    assert files_in(tmp_path) == []


def test_a03_stall_once(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_TIMEOUT", 0.3)
    assert fetch(published(server.url("stall-once")), tmp_path).read_bytes() == BODY


def test_a03_worst_case_ends_within_a_minute():
    backoff = sum(0.5 * 2**number for number in range(download._MAX_ATTEMPTS - 1))
    assert download._MAX_ATTEMPTS * max(download._TIMEOUT, download._WINDOW) + backoff <= 60


def test_a04_drip(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_WINDOW", 0.2)
    monkeypatch.setattr(download, "_MAX_ATTEMPTS", 2)
    message = failure(published(server.url("drip")), tmp_path)
    assert "127.0.0.1 is too slow" in message
    assert len(server.log) == 2
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("path", ["drip-status", "drip-headers", "continue-for-ever", "drip-chunk"])
def test_a24_an_answer_that_drips_is_given_up_in_time(server, tmp_path, monkeypatch, path):
    """Whatever comes byte by byte, each byte well within the time that is allowed between two of them."""
    monkeypatch.setattr(download, "_TIMEOUT", 0.5)
    monkeypatch.setattr(download, "_MAX_ATTEMPTS", 2)
    message = failure(published(server.url(path)), tmp_path)
    assert "timed out" in message and len(server.log) == 2 and files_in(tmp_path) == []


@pytest.mark.parametrize("path", ["redirect-to-empty-label", "redirect-to-long-label"])
def test_a25_a_host_that_no_name_can_have_is_one_line(server, tmp_path, path):
    assert "no connection to a" in failure(published(server.url(path)), tmp_path)


@pytest.mark.parametrize(
    "path", ["redirect-to-empty-label", "redirect-to-nonsense", "drip-headers", "reset", "stall", "404", "html"]
)
def test_a25_one_broken_answer_never_ends_the_rest(server, tmp_path, monkeypatch, path):
    monkeypatch.setattr(download, "_TIMEOUT", 0.5)
    urls = {tmp_path / f"{number}.bin": server.url("ok") for number in range(20)}
    bad = {tmp_path / "7.bin": server.url(path), tmp_path / ("x" * 300): server.url("ok")}
    failed = download_many(urls | bad, check=require_body)
    assert failed.keys() == bad.keys() and files_in(tmp_path) == sorted(path.name for path in urls.keys() - bad.keys())


def test_a25_a_length_that_is_no_number_says_nothing(server, tmp_path):
    assert download_many({tmp_path / "odd.bin": server.url("odd-length")}, check=require_body) == {}


def require_body(path):
    if path.read_bytes() != BODY:
        raise UserError(f"{path}: another file")


def test_a05_503_twice(server, tmp_path, waits):
    assert fetch(published(server.url("503-twice")), tmp_path).read_bytes() == BODY
    assert len(server.log) == 3
    assert waits == [0.001, 0.002]


@pytest.mark.parametrize(("path", "wait"), [("429-once", 7), ("503-for-an-hour", 30), ("429-odd", 0.001)])
def test_a05_retry_after(server, tmp_path, waits, path, wait):
    assert fetch(published(server.url(path)), tmp_path).read_bytes() == BODY
    assert len(server.log) == 2
    assert waits == [wait]


def test_a05_retry_after_a_date(server, tmp_path, waits, monkeypatch):
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


def test_a06_503_for_ever(server, tmp_path):
    url = server.url("503")
    assert f"{url} answered 503" in failure(published(url), tmp_path)
    assert len(server.log) == 4


@pytest.mark.parametrize("status", ["404", "403"])
def test_a06_no_second_request_when_it_is_refused(server, tmp_path, status):
    url = server.url(status)
    assert f"{url} answered {status}" in failure(published(url), tmp_path)
    assert len(server.log) == 1
    assert files_in(tmp_path) == []


@pytest.mark.parametrize("path", ["redirect", "hop-10", "redirect-to-other-host", "redirect-with-endless-body"])
def test_a11_redirect(server, tmp_path, path):
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
def test_a11_redirect_not_followed(server, tmp_path, path, requests_sent, words):
    assert words in failure(published(server.url(path)), tmp_path)
    assert len(server.log) == requests_sent
    assert files_in(tmp_path) == []


def test_a11_redirect_from_https_to_http(server, tmp_path, monkeypatch):
    monkeypatch.setattr(download._Session, "get", answers(302, {"Location": server.url("ok")}))
    message = failure(published("https://example.com/data.bin"), tmp_path)
    assert f"https://example.com/data.bin redirects to '{server.url('ok')}', which is not followed" in message
    assert server.log == []


def test_a13_kills_at_random_points_each_followed_by_another_run(server, tmp_path):
    chance = random.Random(1)
    process = start_process(
        "def fetch_and_die(point):",
        "    if isinstance(point, str):",
        "        setattr(os, point, lambda *_: os.kill(os.getpid(), signal.SIGKILL))",
        "    fetch(item, folder)",
        "    os._exit(0)",
        "killed = 0",
        "for point in points:",
        "    pid = os.fork() or fetch_and_die(point)",
        "    if not isinstance(point, str):",
        "        time.sleep(point)",
        "        os.kill(pid, signal.SIGKILL)",
        "    killed += os.waitpid(pid, 0)[1] == signal.SIGKILL",
        "    left = os.listdir(folder)",
        "    assert left == ['data.bin'] or len(left) <= 1 and 'data.bin' not in left, left",
        "    assert hashlib.sha256(fetch(item, folder).read_bytes()).hexdigest() == item.sha256",
        "    assert os.listdir(folder) == ['data.bin']",
        "    os.unlink(folder + '/data.bin')",
        "assert killed >= 3",
        item=published(server.url("slow")),
        folder=str(tmp_path),
        points=["fsync", "replace", 0.0, *(chance.uniform(0, 0.06) for _ in range(9))],
    )
    assert process.wait() == 0, process.communicate()[1]


def test_a14_interrupt_in_the_middle(server, tmp_path):
    process = start_process(
        "from common.app.cli import Options, Command, main",
        "signal.signal(signal.SIGINT, signal.default_int_handler)",  # a shell's background jobs start with it ignored
        "verb = Command('', Options, lambda _: fetch(item, folder), uses_tensorflow=False)",
        "sys.exit(main('prog', '', {'get': verb}, ['get']))",
        item=published(server.url("stall")),
        folder=str(tmp_path),
    )
    assert server.half_sent.wait(60)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and stderr == "stopped by SIGINT\n"
    assert files_in(tmp_path) == []


def fetch_side_by_side(server, tmp_path, processes, *preparation):
    """Let processes fetch the same file into one cold cache at the same moment, and look at it all the time."""
    item = published(server.url("slow"))
    process = start_process(
        *preparation,
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


@pytest.mark.parametrize("processes", [2, 8])
def test_a15_processes_at_once_on_a_cold_cache(server, tmp_path, processes):
    fetch_side_by_side(server, tmp_path, processes)


def test_a16_eight_processes_where_locks_do_nothing(server, tmp_path):
    fetch_side_by_side(server, tmp_path, 8, "import fcntl", "fcntl.flock = fcntl.lockf = lambda *_: None")


def assert_names_disk(message: str, path: Path) -> None:
    assert str(path) in message and f"{len(BODY)} bytes needed" in message and "EAGER_EXAMPLES_DATA" in message
    assert " free)" in message


def test_a18_disk_full_in_the_body(server, tmp_path):
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
def test_a18_disk_full_at_the_end(server, tmp_path, monkeypatch, call):
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


def test_a18_read_only_cache(server, tmp_path, read_only):
    (tmp_path / "data.bin").write_bytes(BODY)
    tmp_path.chmod(0o555)
    assert fetch(published(server.url("ok")), tmp_path) == tmp_path / "data.bin"
    message = failure(published(server.url("ok"), path="other.bin"), tmp_path)
    tmp_path.chmod(0o755)
    assert_names_disk(message, tmp_path / "other.bin")
    assert "Permission denied" in message
    assert server.log == []


def test_a18_cache_that_cannot_be_created(server, tmp_path):
    (tmp_path / "file").touch()
    assert_names_disk(failure(published(server.url("ok")), tmp_path / "file" / "cache"), tmp_path / "file" / "cache")
    assert server.log == []


FLIPPED = BODY[:1000] + bytes([BODY[1000] ^ 1]) + BODY[1001:]


@pytest.mark.parametrize("content", [b"", BODY[:HALF], FLIPPED, BODY + b"!"], ids=["empty", "cut", "flipped", "long"])
def test_a19_damaged_file_is_replaced(server, tmp_path, content):
    path = tmp_path / "data.bin"
    path.write_bytes(content)
    message = failure(published(server.url("404")), tmp_path)
    assert f"{path}, which does not verify" in message and "answered 404" in message
    assert path.read_bytes() == content
    assert fetch(published(server.url("ok")), tmp_path).read_bytes() == BODY
    assert files_in(tmp_path) == ["data.bin"]


def test_a19_damage_is_told_with_expected_and_got(server, tmp_path):
    path = tmp_path / "data.bin"
    path.write_bytes(FLIPPED)
    expected = f"expected sha256 {digest_of(BODY)}, got {digest_of(FLIPPED)}"
    assert expected in failure(published(server.url("404")), tmp_path)
    path.write_bytes(BODY[:HALF])
    assert f"got {HALF} of {len(BODY)} bytes" in failure(published(server.url("404")), tmp_path)


def test_a19_folder_in_the_place_of_the_file(server, tmp_path):
    (tmp_path / "data.bin").mkdir()
    assert str(tmp_path / "data.bin") in failure(published(server.url("ok")), tmp_path)
    assert server.log == []


def test_a19_pipe_in_the_place_of_the_file(server, tmp_path):
    os.mkfifo(tmp_path / "data.bin")
    assert "expected a file" in failure(published(server.url("ok")), tmp_path)


@pytest.mark.parametrize("content", [None, b"of somebody else"], ids=["dangling", "other file"])
def test_a19_symlink_is_replaced_and_not_written_through(server, tmp_path, content):
    target, cache = tmp_path / "target", tmp_path / "cache"
    cache.mkdir()
    (cache / "data.bin").symlink_to(target)
    if content is not None:
        target.write_bytes(content)
    path = fetch(published(server.url("ok")), cache)
    assert path.read_bytes() == BODY and not path.is_symlink()
    assert (target.read_bytes() if target.exists() else None) == content


@pytest.mark.parametrize("name", ["absent", "deep/er", "with spaces and üñïçødé"])
def test_a20_cache_folder_is_created_where_it_was_asked_for(server, tmp_path, name):
    assert fetch(published(server.url("ok"), path="sub/data.bin"), tmp_path / name).read_bytes() == BODY
    assert files_in(tmp_path) == [f"{name}/sub/data.bin"]


def test_a20_relative_cache_folder(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert fetch(published(server.url("ok")), "cache").read_bytes() == BODY
    assert files_in(tmp_path) == ["cache/data.bin"]


def test_a20_cache_folder_by_variable(server, tmp_path, monkeypatch):
    monkeypatch.setenv("EAGER_EXAMPLES_DATA", str(tmp_path / "cache"))
    fetch(published(server.url("ok")))
    assert files_in(tmp_path) == ["cache/data.bin"]


def test_a21_offline_with_the_file_there(tmp_path, monkeypatch, no_network):
    (tmp_path / "data.bin").write_bytes(BODY)
    for switch in ("0", "1"):
        monkeypatch.setenv("EAGER_EXAMPLES_OFFLINE", switch)
        assert fetch(published("https://example.com/data.bin"), tmp_path).read_bytes() == BODY


def test_a21_offline_without_the_file(tmp_path, monkeypatch, no_network):
    monkeypatch.setenv("EAGER_EXAMPLES_OFFLINE", "1")
    message = failure(published("https://example.com/data.bin"), tmp_path / "cache")
    for part in ("data.bin", "https://example.com/data.bin", str(len(BODY)), digest_of(BODY), "EAGER_EXAMPLES_OFFLINE"):
        assert part in message
    assert str(tmp_path / "cache" / "data.bin") in message
    assert not list(tmp_path.iterdir())


def test_a22_connection_refused(tmp_path):
    with FaultServer(BODY) as server:
        url = server.url("ok")
    message = failure(published(url), tmp_path)
    assert "no connection to 127.0.0.1 (ConnectionRefusedError" in message
    assert url in message and str(tmp_path / "data.bin") in message and "--data-dir" in message
    assert files_in(tmp_path) == []


def test_a22_unknown_host(tmp_path, monkeypatch):
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    message = failure(published("https://example.com/data.bin"), tmp_path)
    assert "no connection to example.com (gaierror" in message and "Name or service not known" in message


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
def test_a23_resource_that_cannot_be_verified(changes):
    with pytest.raises(ValueError, match="expected"):
        published("https://example.com/data.bin", **changes)
