from dataclasses import replace
from importlib import import_module

import pytest

from examples.serve.registry import EXAMPLES, RunRegistry
from tests.shared_folder import filled_once


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A folder with a run of each example, a few steps long."""

    def fill(folder):
        for example in EXAMPLES:
            preset = import_module(f"examples.{example}.config").PRESETS["tiny"]
            settings = replace(preset, run_dir=folder / example / "tiny", epochs=1, steps_per_epoch=8)
            run = import_module(f"examples.{example}.train").train(settings)
            import_module(f"examples.{example}.report").write_report(run)

    return filled_once(tmp_path_factory, "served", fill)


@pytest.fixture(scope="session")
def service(runs):
    from examples.serve.service import Service

    return Service(RunRegistry(runs))
