"""Training in a process of its own, killed at a moment of the test's choice, and what the last checkpoint holds."""

import os
import signal
import subprocess
import sys

import tensorflow as tf

from common.checkpoints import find


def train_until(line_start, example, *flags):
    """Train; kill the process with SIGKILL as soon as a line of its output starts so. Return how it ended."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"examples.{example}", "train", *map(str, flags)],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    for line in process.stdout:
        if line.decode().startswith(line_start):
            os.kill(process.pid, signal.SIGKILL)
            break
    process.stdout.close()
    return process.wait()


def saved_variables(run):
    """Return every variable in a run's latest checkpoint by name."""
    path = str(find(run.checkpoints, "latest")[0] / "variables")
    reader = tf.train.load_checkpoint(path)
    return {name: reader.get_tensor(name) for name, _ in tf.train.list_variables(path) if "OBJECT_GRAPH" not in name}


def assert_same_run(mine, theirs):
    """Check that two runs have the same numbers and weights, to the bit, and different times only."""
    for row, other in zip(mine.read_metrics(), theirs.read_metrics(), strict=True):
        assert {**row, "seconds": 0} == {**other, "seconds": 0}
    variables, others = saved_variables(mine), saved_variables(theirs)
    assert variables.keys() == others.keys() and len(variables) > 20
    assert all((variables[name] == others[name]).all() for name in variables)
