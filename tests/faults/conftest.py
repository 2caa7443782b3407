from importlib import import_module

import pytest

from common.app.cli import main
from common.training.run_directory import RunDirectory


@pytest.fixture
def command():
    """Give the command line of an example, in this process; return its exit code."""

    def give(example, *arguments):
        verbs = import_module(f"examples.{example}.__main__").COMMANDS
        return main(f"python -m examples.{example}", "", verbs, [str(argument) for argument in arguments])

    return give


@pytest.fixture(scope="module")
def barely_trained(tmp_path_factory):
    """A run of each example that asks for it, two steps long; not to be changed."""
    runs = {}

    def train(example):
        if example not in runs:
            verbs = import_module(f"examples.{example}.__main__").COMMANDS
            run = RunDirectory(tmp_path_factory.mktemp("runs") / example)
            flags = ["--preset", "tiny", "--epochs", "1", "--steps-per-epoch", "2", "--run-dir", str(run.path)]
            assert main("prog", "", verbs, ["train", *flags]) == 0
            runs[example] = run
        return runs[example]

    return train
