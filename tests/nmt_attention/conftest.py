from dataclasses import replace

import pytest

from common.training.run_directory import RunDirectory
from examples.nmt_attention.config import PRESETS
from tests.shared_folder import filled_once


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of the tiny preset, whole: it takes seconds."""
    from examples.nmt_attention.train import train

    def fill(folder):
        train(replace(PRESETS["tiny"], run_dir=folder))

    return RunDirectory(filled_once(tmp_path_factory, "nmt_attention", fill))


@pytest.fixture(scope="session")
def translator(trained):
    from examples.nmt_attention.demo import SentenceTranslator

    return SentenceTranslator.load(trained)
