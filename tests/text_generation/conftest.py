import pytest

from common.training.run_directory import RunDirectory
from examples.text_generation.config import PRESETS
from tests.shared_folder import filled_once
from tests.text_generation.tiny import SETTINGS


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of the tiny preset, three epochs long."""
    from dataclasses import replace

    from examples.text_generation.train import train

    def fill(folder):
        train(replace(PRESETS["tiny"], run_dir=folder, **SETTINGS))

    return RunDirectory(filled_once(tmp_path_factory, "text_generation", fill))
