import pytest

from common.training.run_directory import RunDirectory
from examples.text_generation.config import PRESETS
from tests.text_generation.tiny import SETTINGS


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of the tiny preset, three epochs long."""
    from dataclasses import replace

    from examples.text_generation.train import train

    path = tmp_path_factory.mktemp("runs") / "tiny"
    return RunDirectory(train(replace(PRESETS["tiny"], run_dir=path, **SETTINGS)).path)
