import os
import subprocess
import sys

import pytest

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


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """What `python -m examples demo` leaves: an index, and a whole run of each example."""
    folder = tmp_path_factory.mktemp("demo")
    command = [sys.executable, "-m", "examples", "demo", "--out", str(folder), "--steps-per-epoch", "6"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder
