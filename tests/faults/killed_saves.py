"""Save checkpoints in processes that are killed, and look at what is there afterwards; prints JSON.

python -m tests.faults.killed_saves FOLDER --at-every-call     the step restored after a kill at each call of one save
python -m tests.faults.killed_saves FOLDER --kills 50          kills at random moments of saves back to back
"""

import argparse
import json
import os
import random
import select
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf

from common.io.files import remove_temporary_files
from common.training.checkpoints import Checkpoints, list_checkpoints

CALLS = ("mkdir", "fsync", "rename", "replace", "unlink", "rmdir")  # of `os`, in which a save consists


def in_a_child(work: Callable[..., int], *arguments: object) -> int:
    """Do `work` in a process of its own, which inherits TensorFlow as it was imported; return what it returned.

    Nothing may have been computed before: the threads that TensorFlow starts for it do not survive a fork.
    """
    receiver, sender = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(sender, b"%d" % work(*arguments))
        os._exit(0)
    os.close(sender)
    status = os.waitpid(pid, 0)[1]
    with open(receiver, "rb") as file:
        content = file.read()
    return int(content) if status == 0 else -os.WTERMSIG(status)


def checkpoints(folder: Path, value: float = 0.0) -> tuple[Checkpoints, tf.Variable]:
    """Return what saves and restores a variable that is to hold the step."""
    variable = tf.Variable(tf.fill([1000], value))
    return Checkpoints(folder, model={"value": variable}), variable


def save(folder: Path, step: int, die_at: int = 0) -> int:
    """Save, and kill this process at call number `die_at`, from 1, of those in CALLS."""
    count = 0

    def deadly(call: Callable) -> Callable:
        def counted(*arguments, **options):
            nonlocal count
            count += 1
            if count == die_at:
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **options)

        return counted

    saver, _ = checkpoints(folder, float(step))
    for name in CALLS:
        setattr(os, name, deadly(getattr(os, name)))
    saver.save("latest", step, {"step": step})
    return count


def restore(folder: Path) -> int:
    """Restore, and check the value; delete temporary files; return the step."""
    saver, variable = checkpoints(folder)
    step = saver.restore("latest")["step"]
    assert (variable.numpy() == step).all()
    remove_temporary_files(folder)
    assert [path.name for path in folder.iterdir()] == [path.name for path in folder.glob("latest-????????")]
    return step


def at_every_call(folder: Path) -> list[int]:
    """Return the step restored after a kill at the first, second, ... call of the save of step 4."""
    for step in (1, 2, 3):
        assert in_a_child(save, folder / "before", step) > 0
    steps: list[int] = []
    while (step := after_a_kill(folder, die_at=len(steps) + 1)) is not None:
        steps.append(step)
    return steps


def after_a_kill(folder: Path, die_at: int) -> int | None:
    """Return the step restored after a kill at call number `die_at`, None if the save has no more so many."""
    attempt = Path(shutil.copytree(folder / "before", folder / f"killed at {die_at}"))
    survived = in_a_child(save, attempt, 4, die_at) > 0
    return None if survived else in_a_child(restore_and_go_on, attempt)


def restore_and_go_on(folder: Path) -> int:
    """Restore, save the next step, restore again; return the step restored first."""
    step = restore(folder)
    save(folder, step + 1)
    assert restore(folder) == step + 1 and len(list_checkpoints(folder, "latest")) == 2
    return step


def save_on_and_on(folder: Path, acknowledge: int) -> None:
    """Restore, then save the next steps, telling of each once it is saved."""
    saver, variable = checkpoints(folder)
    step = (saver.restore("latest") or {"step": 0})["step"]
    remove_temporary_files(folder)
    while True:
        step += 1
        variable.assign(tf.fill([1000], float(step)))
        saver.save("latest", step, {"step": step})
        os.write(acknowledge, b"%d\n" % step)


def at_random(folder: Path, kills: int, seed: int = 1) -> dict[str, int]:
    """Kill at random; return how many acknowledged saves were lost, and the most names in the folder after a kill."""
    chance = random.Random(seed)
    report = {"kills": kills, "saves": 0, "lost": 0, "most_names": 0}
    for _ in range(kills):
        receiver, sender = os.pipe()
        pid = os.fork()
        if not pid:
            save_on_and_on(folder, sender)
        os.close(sender)
        with open(receiver, "rb") as file:
            acknowledged = file.readline()  # from now on it saves
            select.select([], [], [], chance.uniform(0, 0.1))
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            acknowledged = int((file.readlines() or [acknowledged])[-1])
        report["most_names"] = max(report["most_names"], len(list(folder.iterdir())))
        report["lost"] += in_a_child(restore, folder) < acknowledged
        report["saves"] = acknowledged
    return report


def main() -> None:
    """Do what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--at-every-call", action="store_true")
    parser.add_argument("--kills", type=int, default=50)
    options = parser.parse_args()
    report = at_every_call(options.folder) if options.at_every_call else at_random(options.folder, options.kills)
    json.dump(report, sys.stdout)


if __name__ == "__main__":
    main()
