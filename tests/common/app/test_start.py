import json
import os
import subprocess
import sys
import tempfile

import keras
import pytest
import tensorflow as tf

from common.app import start
from common.errors import UserError


@pytest.mark.parametrize("version", ["2.19.0", "2.21.1", "2.22.0-dev20260101", "3.0.0"])
def test_new_versions_pass(version, monkeypatch):
    monkeypatch.setattr(tf, "__version__", version)
    start._set_up_keras()


@pytest.mark.parametrize(
    ("module", "version", "expected"),
    [(tf, "2.18.1", "TensorFlow 2.18.1 is too old, expected 2.19"), (keras, "3.9.2", "Keras 3.9.2 is too old")],
)
def test_an_old_version_is_one_line(module, version, expected, monkeypatch):
    monkeypatch.setattr(module, "__version__", version)
    with pytest.raises(UserError, match=expected):
        start._set_up_keras()


def test_what_keras_json_says_is_replaced(tmp_path):
    settings = {"backend": "jax", "floatx": "float16", "image_data_format": "channels_first", "epsilon": 1e-7}
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    code = """
from common.app.start import start_tensorflow
start_tensorflow()
import keras
print(keras.backend.backend(), keras.config.floatx(), keras.config.image_data_format())
"""
    environment = os.environ | {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": "torch"}
    done = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True)
    assert done.stdout.split() == ["tensorflow", "float32", "channels_last"], done.stderr


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="only Linux has files in memory")
def test_a_full_disk_does_not_keep_tensorflow_from_starting(monkeypatch):
    def fail():
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(tempfile, "TemporaryFile", fail)
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    with start._without_start_messages():
        os.write(2, b"hidden\n")


def test_keras_with_another_backend_is_one_line(monkeypatch):
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(UserError, match="backend jax, expected tensorflow; restart"):
        start._set_up_keras()
