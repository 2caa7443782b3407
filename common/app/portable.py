"""A model as one file for other programs: Keras (.keras), LiteRT, once TensorFlow Lite (.tflite), and ONNX (.onnx).

The model must consist of Keras' own layers, so that the file can be read without this code.
"""

import contextlib
import os
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path

import keras
import tensorflow as tf

from common.errors import UserError
from common.io.files import replacing


def write_portable(model: keras.Model, path: Path, form: str, overwrite: bool = False) -> Path:
    """Write a functional model of Keras' own layers as "keras", "tflite" or "onnx" (`form`), and return the path.

    Raises:
        UserError: the path has another ending or is taken, or is not writable, or a package is missing.
    """
    if path.suffix != f".{form}":
        raise UserError(f"--out {path}: a {form} file must end in .{form}, or programs do not know what it is")
    if os.path.lexists(path) and not overwrite:
        raise UserError(f"{path}: there already; name another file with --out, or add --overwrite to replace it")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with (
            tempfile.TemporaryDirectory() as folder,
            contextlib.redirect_stdout(None),  # the converters are chatty
        ):
            written = Path(folder) / f"model.{form}"  # Keras asks for the ending
            _write(model, written, form)
            with replacing(path) as temporary:
                shutil.copyfile(written, temporary)
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror or error}); name another with --out") from error
    return path


def _write(model: keras.Model, path: Path, form: str) -> None:
    if form == "keras":
        model.save(path)
    elif form == "tflite":
        folder = path.with_suffix("")
        model.export(folder, verbose=False)  # `from_keras_model` does not know Keras 3
        path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder)).convert())
    else:
        if find_spec("tf2onnx") is None:
            raise UserError("--format onnx: tf2onnx is not installed; pip install tf2onnx")
        inputs = [tf.zeros([size or 1 for size in tensor.shape], tensor.dtype) for tensor in model.inputs]
        model(inputs if len(inputs) > 1 else inputs[0])  # Keras exports only what was called
        model.export(path, format="onnx", verbose=False)
