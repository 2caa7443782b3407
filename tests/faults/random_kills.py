"""Train a tiny model, kill it again and again at random moments, and compare its end with that of a run left in peace.

python -m tests.faults.random_kills --example dcgan --kills 25 --seed 1
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from common.io.files import is_temporary
from common.training.checkpoints import list_checkpoints
from common.training.run_directory import RunDirectory
from tests.same_run import assert_same_run

FLAGS = {
    "text_generation": ["--epochs", "3"],
    "dcgan": ["--epochs", "3", "--base-channels", "4"],
    "nmt_attention": ["--epochs", "3"],
    "image_captioning": ["--epochs", "2"],
}


def start(example: str, run: RunDirectory, steps_per_epoch: int = 20) -> subprocess.Popen:
    """Start a `train` command that saves after every step."""
    command = [sys.executable, "-m", f"examples.{example}", "train", "--preset", "tiny", *FLAGS[example]]
    command += ["--steps-per-epoch", str(steps_per_epoch), "--checkpoint-seconds", "0", "--run-dir", str(run.path)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"}
    )


def uninterrupted(example: str, folder: Path, **options: int) -> RunDirectory:
    """Train in peace."""
    run = RunDirectory(folder / "uninterrupted")
    finish(start(example, run, **options))
    return run


def newest_step(run: RunDirectory) -> int:
    """Return the step of the newest checkpoint, 0 if there is none."""
    return max((int(path.name[-8:]) for path in list_checkpoints(run.checkpoints, "latest")), default=0)


def survive(example: str, run: RunDirectory, steps: int, kills: int, seed: int, **options: int) -> dict[str, int]:
    """Start the same command until it ends by itself, and kill it before that so many times.

    The moments are random: three of four come after the first step of a session, spread over what is left of the run
    by what is known so far of its pace; every fourth lies anywhere from the start of the process.

    Args:
        example: which one.
        run: where.
        steps: how many the whole run has.
        kills: how often, at most; fewer if the run ends first.
        seed: of the moments.
        options: of `start`.

    Returns:
        "kills", "in_training": those that came after at least one more step was saved, "most_bytes": the largest size
        of the checkpoints' folder after a kill.
    """
    chance = random.Random(seed)
    counts = {"kills": 0, "in_training": 0, "most_bytes": 0}
    to_first_step, pace = 10.0, 0.1  # seconds: both are measured as soon as possible
    while counts["kills"] < kills:
        before, began = newest_step(run), time.monotonic()
        process = start(example, run, **options)
        if counts["kills"] % 4 == 3:
            time.sleep(chance.uniform(0, to_first_step))
        else:
            while process.poll() is None and newest_step(run) == before:
                time.sleep(0.005)
            to_first_step, began = time.monotonic() - began, time.monotonic()
            time.sleep(chance.uniform(0, 2) * pace * (steps - before) / (kills - counts["kills"] + 1))
        process.kill()
        output, errors = process.communicate()
        assert process.returncode in (0, -signal.SIGKILL), errors
        assert before == 0 or f"resuming at step {before}," in output or "resuming" not in output, output
        gained = newest_step(run) - before
        assert gained >= 0
        if process.returncode == 0:
            return counts  # it was faster
        counts["kills"] += 1
        counts["in_training"] += gained > 0
        counts["most_bytes"] = max(counts["most_bytes"], size(run.checkpoints))
        if gained > 1:
            pace = (time.monotonic() - began) / gained
    finish(start(example, run, **options))
    return counts


def finish(process: subprocess.Popen) -> None:
    """Let a process end by itself."""
    _, errors = process.communicate()
    assert process.returncode == 0, errors


def size(folder: Path) -> int:
    """Return the bytes in the files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def assert_nothing_left(run: RunDirectory) -> None:
    """Check that the folder holds what an uninterrupted run leaves, and nothing of the killed ones."""
    names = sorted(path.name for path in run.checkpoints.iterdir())
    assert len(names) <= 3 and not any(name.startswith("damaged") or name.startswith(".") for name in names), names
    assert not any(map(is_temporary, run.path.rglob("*")))


def main() -> None:
    """Parse, kill, compare, print one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--example", choices=FLAGS, required=True)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        whole = uninterrupted(options.example, Path(folder))
        done = {"kills": 0, "in_training": 0, "most_bytes": 0, "runs": 0}
        while done["kills"] < options.kills:  # in one run, unless it is faster than thought
            run = RunDirectory(Path(folder) / f"killed-{done['runs']}")
            left = options.kills - done["kills"]
            counts = survive(options.example, run, newest_step(whole), left, options.seed + done["runs"])
            assert_same_run(run, whole)
            assert_nothing_left(run)
            most_bytes = max(done["most_bytes"], counts["most_bytes"])
            done = {name: done[name] + value for name, value in (counts | {"runs": 1}).items()}
            done["most_bytes"] = most_bytes
        one = size(list_checkpoints(whole.checkpoints, "latest")[0])
        print(
            f"{options.example}: {done['kills']} kills ({done['in_training']} after at least one more step), "
            f"{done['runs']} run(s) of {newest_step(whole)} steps; weights, optimizers, random state, metrics equal "
            f"to the uninterrupted run's; nothing left over; at most {done['most_bytes'] / one:.1f} checkpoints on disk"
        )


if __name__ == "__main__":
    main()
