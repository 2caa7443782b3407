import shutil
from importlib import import_module

import pytest

from common.training.run_directory import RunDirectory
from examples.serve.registry import EXAMPLES, RunRegistry
from tests.shared_folder import filled_once
from tests.trained_runs import trained_run


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A folder with a run of each example."""

    def fill(folder):
        for example in EXAMPLES:
            trained = trained_run(tmp_path_factory, example)
            run = RunDirectory(shutil.copytree(trained.path, folder / example / "tiny"))
            import_module(f"examples.{example}.report").write_report(run)

    return filled_once(tmp_path_factory, "served", fill)


@pytest.fixture(scope="session")
def service(runs):
    from examples.serve.service import Service

    return Service(RunRegistry(runs))
