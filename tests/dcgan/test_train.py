from types import SimpleNamespace

import numpy as np
import pytest

from examples.dcgan.config import Config
from examples.dcgan.train import build_model, r1_gamma


@pytest.mark.parametrize(
    ("given", "size", "expected"), [(None, (64, 64), 1), (None, (32, 64), 0.5), (0.0, (64, 64), 0), (3.0, (8, 8), 3)]
)
def test_the_penalty_grows_with_the_pixels_unless_it_is_given(given, size, expected):
    assert r1_gamma(Config(r1_gamma=given), size) == expected


def test_each_network_has_its_learning_rate():
    config = Config(generator_learning_rate=1e-2, discriminator_learning_rate=1e-5, beta_1=0.3, base_channels=4)
    model = build_model(config, SimpleNamespace(train=np.zeros((1, 8, 8, 1), np.uint8)))
    optimizers = model.generator_optimizer, model.discriminator_optimizer
    assert [float(each.learning_rate) for each in optimizers] == pytest.approx([1e-2, 1e-5])
    assert [each.beta_1 for each in optimizers] == [0.3, 0.3]
