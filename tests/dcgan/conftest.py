import pytest

from examples.dcgan.data import load_images
from tests.trained_runs import trained_run


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of the tiny preset, three epochs long."""
    return trained_run(tmp_path_factory, "dcgan")


@pytest.fixture(scope="session")
def tiny_images():
    """The tiny data set."""
    return load_images("tiny")


@pytest.fixture(scope="session")
def feature_classifier(tiny_images):
    """The classifier of the tiny data set."""
    from examples.dcgan.metrics.classifier import load_or_train_classifier

    return load_or_train_classifier(tiny_images)
