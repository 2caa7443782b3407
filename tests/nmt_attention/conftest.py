import pytest

from tests.trained_runs import trained_run


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of the tiny preset, whole: it takes seconds."""
    return trained_run(tmp_path_factory, "nmt_attention")


@pytest.fixture(scope="session")
def translator(trained):
    from examples.nmt_attention.demo import SentenceTranslator

    return SentenceTranslator.load(trained)
