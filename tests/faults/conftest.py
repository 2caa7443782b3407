from functools import cache
from importlib import import_module

import pytest

from common.app.cli import main
from common.training.run_directory import RunDirectory
from tests.shared_folder import filled_once


@pytest.fixture
def command():
    """Give the command line of an example, in this process; return its exit code."""

    def give(example, *arguments):
        verbs = import_module(f"examples.{example}.__main__").COMMANDS
        return main(f"python -m examples.{example}", "", verbs, [str(argument) for argument in arguments])

    return give


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run of each example that asks for it, two steps long; not to be changed."""

    @cache
    def train(example):
        def fill(folder):
            verbs = import_module(f"examples.{example}.__main__").COMMANDS
            flags = ["--preset", "tiny", "--epochs", "1", "--steps-per-epoch", "2", "--run-dir", str(folder)]
            assert main("prog", "", verbs, ["train", *flags]) == 0

        return RunDirectory(filled_once(tmp_path_factory, f"barely_{example}", fill))

    return train
