import os
import subprocess
import sys

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["EAGER_EXAMPLES_OFFLINE"] = "1"  # no test may reach for the network


@pytest.fixture(scope="session")
def demo(tmp_path_factory):
    """What `python -m examples demo` leaves: an index, and a whole run of each example."""
    folder = tmp_path_factory.mktemp("demo")
    environment = os.environ | {"XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache"))}
    command = [sys.executable, "-m", "examples", "demo", "--out", str(folder), "--steps-per-epoch", "6"]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, env=environment)
    return folder
