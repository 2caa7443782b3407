from dataclasses import replace

import pytest

from common.training.run_directory import RunDirectory
from examples.dcgan.config import PRESETS
from examples.dcgan.data import load_images
from tests.dcgan.tiny import SETTINGS
from tests.shared_folder import filled_once


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """A run of the tiny preset, three epochs long."""
    from examples.dcgan.train import train

    def fill(folder):
        train(replace(PRESETS["tiny"], run_dir=folder, **SETTINGS))

    return RunDirectory(filled_once(tmp_path_factory, "dcgan", fill))


@pytest.fixture(scope="session")
def tiny_images():
    """The tiny data set."""
    return load_images("tiny")


@pytest.fixture(scope="session")
def feature_classifier(tiny_images):
    """The classifier of the tiny data set."""
    from examples.dcgan.metrics.classifier import load_or_train_classifier

    return load_or_train_classifier(tiny_images)
