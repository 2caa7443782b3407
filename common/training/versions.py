"""The versions of TensorFlow and Keras that this collection runs with."""

import keras
import tensorflow as tf
from packaging.version import Version

from common.errors import UserError

OLDEST = {"TensorFlow": (2, 19), "Keras": (3, 10)}


def check() -> None:
    """Raise UserError if TensorFlow or Keras is older than the oldest version that is tested."""
    for name, installed in (("TensorFlow", tf.__version__), ("Keras", keras.__version__)):
        major, minor = OLDEST[name]
        if Version(installed).release < (major, minor):
            raise UserError(
                f"{name} {installed} is too old, expected {major}.{minor} or later; run: "
                "python -m pip install --upgrade -r requirements.txt"
            )
