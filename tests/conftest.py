import os
import socket
import sys
import time
from types import SimpleNamespace

import pytest

from common.data import download
from tests.downloads import BODY
from tests.http_server import FaultServer

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["EAGER_EXAMPLES_OFFLINE"] = "1"  # no test may reach for the network


@pytest.fixture(scope="session", autouse=True)
def one_cache_for_all(tmp_path_factory):
    """Keep what the tests derive and train out of the user's cache; share it, also with processes they start."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent  # every worker has a folder of its own in there
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(base / "xdg_cache"))
        yield


@pytest.fixture(autouse=True)
def float32_afterwards():
    """Return to float32 after every test: Keras keeps the precision that one has set, for the whole process."""
    yield
    if keras := sys.modules.get("keras"):
        keras.config.set_dtype_policy("float32")


@pytest.fixture
def calm(monkeypatch):
    """No proxy, no settings from outside, no waiting between tries."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.delenv("EAGER_EXAMPLES_DATA", raising=False)
    monkeypatch.delenv("EAGER_EXAMPLES_OFFLINE", raising=False)
    monkeypatch.setattr(download, "_BACKOFF", 0.001)


@pytest.fixture
def server(calm):
    """A web server on the loopback that serves BODY, well or badly."""
    with FaultServer(BODY) as server:
        yield server


@pytest.fixture
def waits(monkeypatch):
    """The seconds that `download` would have slept, which it now does not."""
    waits = []
    monkeypatch.setattr(download, "time", SimpleNamespace(sleep=waits.append, monotonic=time.monotonic))
    return waits


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.fixture
def path(tmp_path):
    """Where to write the archive: in a folder of its own, below one with a file that is not to change."""
    (tmp_path / "outside").write_bytes(b"untouched")
    (tmp_path / "inside").mkdir()
    return tmp_path / "inside" / "archive"


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory):
    """The losses, final weights and metrics of the toy, trained in peace."""
    from common.training.run_directory import RunDirectory
    from tests.toy import fit

    path = tmp_path_factory.mktemp("uninterrupted")
    losses, weights = fit(path)
    return losses, weights, RunDirectory(path).read_metrics()
