"""Seconds from the command to its help, and to the end of the first training step of each example.

python -m benchmarks.start_up
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import tyro

from benchmarks.measure import Table, goal

EXAMPLES = ("text_generation", "dcgan", "nmt_attention", "image_captioning")


def help_seconds(example: str) -> float:
    """Return how long `--help` takes."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", f"examples.{example}", "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def first_step_seconds(example: str) -> float:
    """Return how long it takes until the first step of `train --preset tiny` is made and saved."""
    with tempfile.TemporaryDirectory() as folder:
        flags = ["--preset", "tiny", "--run-dir", f"{folder}/run", "--checkpoint-seconds", "0", "--epochs", "1"]
        started = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", f"examples.{example}", "train", *flags],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            while not any(Path(folder).glob("run/checkpoints/latest-*[0-9]")):
                if process.poll() is not None:
                    raise RuntimeError(f"{example}: train ended with exit code {process.returncode} before a step")
                time.sleep(0.01)
            return time.perf_counter() - started
        finally:
            process.kill()
            process.wait()


MEASURES = (help_seconds, first_step_seconds)


def main(turns: int = 3) -> None:
    """Measure and save the table; `turns` of each command."""
    seconds = {
        example: [statistics.median(measure(example) for _ in range(turns)) for measure in MEASURES]
        for example in EXAMPLES
    }
    slowest_help, slowest_step = (max(column) for column in zip(*seconds.values(), strict=True))
    Table(
        "Start-up",
        f"Seconds from the command, medians of {turns}: `python -m examples.NAME --help`, and `train --preset tiny` "
        "until its first step is made and its checkpoint is on disk.",
        ["example", "help", "first step"],
        [[example, *(f"{each:.1f}" for each in measured)] for example, measured in seconds.items()],
        goals=[
            goal("seconds to help, the slowest example", slowest_help, most=1, form=".1f"),
            goal("seconds to the first step of `tiny`, the slowest example", slowest_step, most=15, form=".1f"),
        ],
    ).save()


if __name__ == "__main__":
    tyro.cli(main)
