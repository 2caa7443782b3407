import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request

import pytest
from fastapi.testclient import TestClient

from common.errors import UserError
from examples.serve import options
from examples.serve.options import ServeOptions, serve


def test_without_the_packages_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(options, "find_spec", lambda name: None if name == "uvicorn" else object())
    with pytest.raises(UserError, match=r"\(uvicorn\): pip install -r requirements-page.txt, or"):
        serve(ServeOptions())


def test_an_address_in_use_is_told_in_one_line(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"^127.0.0.1:{port}: cannot listen there .* use another --port"):
            serve(ServeOptions(runs=tmp_path, port=port))


@pytest.mark.parametrize("flags", [{"port": 70_000}, {"requests_per_minute": 0}, {"max_batch": 0}, {"max_waiting": 0}])
def test_values_out_of_range_are_refused(flags):
    with pytest.raises(UserError, match="expected"):
        ServeOptions(**flags)


@pytest.mark.parametrize(
    ("host", "names"),
    [("127.0.0.1", ["127.0.0.1:1", "localhost:1"]), ("127.0.0.2", ["127.0.0.2"]), ("::1", ["[::1]:1", "localhost"])],
)
def test_of_an_address_that_only_this_machine_reaches_the_names_of_other_hosts_are_refused(host, names, tmp_path):
    client = TestClient(options._application(ServeOptions(runs=tmp_path, host=host), str(tmp_path)))
    asked = [client.get("/healthz", headers={"host": name}).status_code for name in [*names, "evil.example"]]
    assert asked == [200] * len(names) + [400]


@pytest.mark.parametrize(
    ("host", "local"),
    [("::1", True), ("127.0.0.2", True), ("localhost", True), ("0.0.0.0", False), ("a.example", False)],
)
def test_only_of_an_address_that_others_may_reach_a_note_is_written(host, local, capsys, monkeypatch):
    def stop(options):
        raise UserError("stop")

    monkeypatch.setattr(options, "_listening_socket", stop)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(UserError, match="stop"):
        serve(ServeOptions(host=host))
    assert ("may be reached by others" in capsys.readouterr().err) != local


@pytest.mark.parametrize(("host", "signum"), [("127.0.0.1", signal.SIGTERM), ("0.0.0.0", signal.SIGHUP)])
def test_the_command_serves_until_it_is_stopped_and_leaves_nothing(host, signum, tmp_path):
    flags = ["--runs", str(tmp_path / "none"), "--port", "0", "--host", host]
    command = [sys.executable, "-m", "examples", "serve", *flags]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    server = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # ignored where the tests run below `nohup`
    )  # fmt: skip
    try:
        address = server.stdout.readline().split()[-1]
        assert address.startswith("http://127.0.0.1:")
        assert urllib.request.urlopen(f"{address}/healthz", timeout=60).read() == b'{"status":"ok"}'
        assert urllib.request.urlopen(address, timeout=60).status == 200  # the page, or without Gradio the description
        server.send_signal(signum)
        _, errors = server.communicate(timeout=60)
    finally:
        server.kill()
    assert server.returncode == 128 + signal.SIGTERM and "Traceback" not in errors
    assert [*tmp_path.iterdir()] == []


def test_the_server_asks_no_other_host(tmp_path):
    pytest.importorskip("gradio")  # which would fetch any public address that a request names
    (tmp_path / "sitecustomize.py").write_text(
        "import safehttpx\nasync def public(host): return '127.0.0.1'\nsafehttpx.async_validate_url = public\n"
    )
    command = [sys.executable, "-m", "examples", "serve", "--runs", str(tmp_path), "--port", "0"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    with socket.create_server(("127.0.0.1", 0)) as other:
        other.setblocking(False)
        try:
            address = server.stdout.readline().split()[-1]
            with pytest.raises(urllib.error.HTTPError):
                page = f"http://another.example:{other.getsockname()[1]}/page"
                urllib.request.urlopen(f"{address}/gradio_api/file={page}", timeout=60)
            with pytest.raises(BlockingIOError):  # nobody has come
                other.accept()
            assert urllib.request.urlopen(address, timeout=60).status == 200
        finally:
            server.terminate()
            server.wait(60)
