import keras
import pytest
import tensorflow as tf

from common.app import start
from common.errors import UserError


@pytest.mark.parametrize("version", ["2.19.0", "2.21.1", "2.22.0-dev20260101", "3.0.0"])
def test_new_versions_pass(version, monkeypatch):
    monkeypatch.setattr(tf, "__version__", version)
    start._check_versions()


@pytest.mark.parametrize(
    ("module", "version", "expected"),
    [(tf, "2.18.1", "TensorFlow 2.18.1 is too old, expected 2.19"), (keras, "3.9.2", "Keras 3.9.2 is too old")],
)
def test_an_old_version_is_one_line(module, version, expected, monkeypatch):
    monkeypatch.setattr(module, "__version__", version)
    with pytest.raises(UserError, match=expected):
        start._check_versions()
