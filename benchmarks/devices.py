"""The same training on one device, two logical devices and two processes of this machine.

python -m benchmarks.devices

All share the same cores, so no way can be faster than one device. The table shows what sharing batches and exchanging
gradients cost.
"""

import json
import os
import socket
import statistics
import tempfile
from pathlib import Path

import tyro

from benchmarks.measure import Table, seconds_of_epoch

WAYS = ("one device", "two logical devices", "two processes")
TRAININGS = {
    "text_generation": ("--data", "tiny", "--batch-size", "32", "--window", "40", "--units", "512"),
    "nmt_attention": ("--data", "tiny", "--batch-size", "64"),
}


def run_training(example: str, way: str, flags: tuple[str, ...], folder: Path, steps: int) -> float:
    """Train two epochs of `steps` steps; return the seconds of the second one, validation included."""
    devices = "cpu:2" if way == "two logical devices" else "cpu"
    flags = (*flags, "--precision", "float32", "--devices", devices)
    return seconds_of_epoch(example, folder, steps, flags, environments(2 if way == "two processes" else 1))


def environments(count: int) -> list[dict[str, str]]:
    """Return the environment of each of `count` processes that train together."""
    if count == 1:
        return [dict(os.environ)]
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    workers = [f"localhost:{one.getsockname()[1]}" for one in sockets]
    for one in sockets:
        one.close()
    configs = [{"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}} for index in range(count)]
    return [os.environ | {"TF_CONFIG": json.dumps(config)} for config in configs]


def main(turns: int = 3, steps: int = 20) -> None:
    """Measure in turns and save the table; the second of two epochs of `steps` steps is timed."""
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for example, flags in TRAININGS.items():
            seconds: dict[str, list[float]] = {way: [] for way in WAYS}
            for _ in range(turns):
                for way in WAYS:
                    seconds[way].append(run_training(example, way, flags, Path(folder), steps))
            for way in WAYS:
                ratios = [one / other for one, other in zip(seconds[WAYS[0]], seconds[way], strict=True)]
                rows.append(
                    [example, way, f"{statistics.median(seconds[way]):.1f}", f"{statistics.median(ratios):.0%}"]
                )
    Table(
        "Devices that share the cores of this machine",
        f"Seconds of an epoch of {steps} steps on tiny data in float32, validation included, median of {turns} turns. "
        f"Text: {' '.join(TRAININGS['text_generation'])}; translation: {' '.join(TRAININGS['nmt_attention'])}.",
        ["example", "way", "seconds", "efficiency"],
        rows,
    ).save()


if __name__ == "__main__":
    tyro.cli(main)
