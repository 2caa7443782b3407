import pytest

from tests.trained_runs import trained_run


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of the tiny preset, three epochs long."""
    return trained_run(tmp_path_factory, "text_generation")
