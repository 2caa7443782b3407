from dataclasses import replace

import pytest

from common.training.run_directory import RunDirectory
from examples.nmt_attention.config import PRESETS


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of the tiny preset, whole: it takes seconds."""
    from examples.nmt_attention.train import train

    path = tmp_path_factory.mktemp("runs") / "tiny"
    return RunDirectory(train(replace(PRESETS["tiny"], run_dir=path)).path)


@pytest.fixture(scope="session")
def translator(trained):
    from examples.nmt_attention.demo import SentenceTranslator

    return SentenceTranslator.load(trained)
