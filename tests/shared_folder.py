"""A folder that one of several test processes fills for all of them."""

import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path


def filled_once(tmp_path_factory, name: str, fill: Callable[[Path], object]) -> Path:
    """Return a new folder with what `fill(folder)` writes; it is called by the first process that asks for `name`."""
    base = tmp_path_factory.getbasetemp()
    base = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base  # every worker has a folder of its own in there
    filled, partial = base / f"{name}.filled", base / f"{name}.partial"
    with open(base / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # released when the file is closed, even by a kill
        if not filled.exists():
            shutil.rmtree(partial, ignore_errors=True)  # of a process that failed
            fill(partial)
            partial.rename(filled)
    return shutil.copytree(filled, tmp_path_factory.mktemp(name) / name)
