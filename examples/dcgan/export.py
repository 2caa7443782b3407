"""Write the trained generator as a SavedModel: noise in, images out, usable without this code."""

from pathlib import Path

import tensorflow as tf

from common.app.saved_model import save_model
from common.training.checkpoints import named_variables
from examples.dcgan.data import to_bytes
from examples.dcgan.demo import ImageGenerator


def export(generator: ImageGenerator, folder: Path, maker: str, overwrite: bool = False) -> Path:
    """Write the SavedModel to `folder` and return it; see `common.app.saved_model.save_model` for the arguments.

    Its one signature takes noise (float32 [B, Z] from N(0, 1)) and gives {"images": uint8 [B, H, W, C]}.
    """
    module = tf.Module()
    # The variables are handed over by name: what a graph uses, the module must hold.
    module.weights = list(named_variables(generator.model).values())

    @tf.function(input_signature=[tf.TensorSpec([None, generator.model.noise_dim], tf.float32, "noise")])
    def generate(noise):
        return {"images": to_bytes(generator.model(noise))}

    return save_model(module, {"serving_default": generate}, folder, maker, overwrite)
