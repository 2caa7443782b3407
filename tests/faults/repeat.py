"""Train the toy in this process; print its losses and state, or what many runs leave behind, as JSON.

python -m tests.faults.repeat FOLDER                one run
python -m tests.faults.repeat FOLDER --soak 50      so many, one after the other, line by line
"""

import argparse
import gc
import hashlib
import json
import os
import resource
import sys
import tempfile
from pathlib import Path

from tests.toy import Toy, fit


def main() -> None:
    """Train, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--soak", type=int, default=0)
    options = parser.parse_args()
    if options.soak:
        json.dump(soak(options.folder, options.soak), sys.stdout)
        return
    losses, state = fit(options.folder)
    digest = hashlib.sha256(b"".join(value.tobytes() for value in state)).hexdigest()
    json.dump({"losses": losses, "state": digest}, sys.stdout)


def soak(folder: Path, times: int) -> dict[str, list[float]]:
    """Return what this process holds after each run: megabytes of memory, open files, models that are still alive."""
    held: dict[str, list[float]] = {"megabytes": [], "files": [], "models": []}
    for _ in range(times):
        fit(Path(tempfile.mkdtemp(dir=folder)), eager=True)
        gc.collect()
        pages = int(Path("/proc/self/statm").read_text().split()[1])
        held["megabytes"].append(pages * resource.getpagesize() / 2**20)
        held["files"].append(len(os.listdir("/proc/self/fd")))
        held["models"].append(sum(isinstance(found, Toy) for found in gc.get_objects()))
    return held


if __name__ == "__main__":
    main()
