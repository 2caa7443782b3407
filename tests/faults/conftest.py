from functools import cache, partial
from importlib import import_module

import pytest

from common.app.cli import main
from tests.trained_runs import trained_run


@pytest.fixture
def command():
    """Give the command line of an example, in this process; return its exit code."""

    def give(example, *arguments):
        verbs = import_module(f"examples.{example}.__main__").COMMANDS
        return main(f"python -m examples.{example}", "", verbs, [str(argument) for argument in arguments])

    return give


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A short run of each example that asks for it; not to be changed."""
    return cache(partial(trained_run, tmp_path_factory))
