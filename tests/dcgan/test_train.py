import pytest

from examples.dcgan.config import Config
from examples.dcgan.train import r1_gamma


@pytest.mark.parametrize(
    ("given", "size", "expected"), [(None, (64, 64), 1), (None, (32, 64), 0.5), (0.0, (64, 64), 0), (3.0, (8, 8), 3)]
)
def test_the_penalty_grows_with_the_pixels_unless_it_is_given(given, size, expected):
    assert r1_gamma(Config(r1_gamma=given), size) == expected
