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

from benchmarks.measure import Table

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


def main(turns: int = 3) -> None:
    """Measure and save the table; `turns` of each command."""
    rows = [
        [example, *(f"{statistics.median(measure(example) for _ in range(turns)):.1f}" for measure in measures)]
        for measures in [(help_seconds, first_step_seconds)]
        for example in EXAMPLES
    ]
    Table(
        "Start-up",
        f"Seconds from the command, medians of {turns}: `python -m examples.NAME --help`, and `train --preset tiny` "
        "until its first step is made and its checkpoint is on disk.",
        ["example", "help", "first step"],
        rows,
    ).save()


if __name__ == "__main__":
    tyro.cli(main)
