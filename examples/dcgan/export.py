"""Export the EMA generator as a SavedModel that maps latents to images and runs without this code."""

from pathlib import Path

import tensorflow as tf

from common.app.saved_model import save_model
from common.training.checkpoints import named_variables
from examples.dcgan.data import to_bytes
from examples.dcgan.demo import ImageGenerator


def export(generator: ImageGenerator, folder: Path, maker: str, overwrite: bool = False) -> Path:
    """Write the SavedModel to `folder` and return it; see `common.app.saved_model.save_model` for the arguments.

    Its one signature maps `latents` float32 [B, Z] from N(0, 1) to {"images": uint8 [B, H, W, C]}.
    """
    module = tf.Module()
    module.weights = list(named_variables(generator.model).values())  # saved with the module

    @tf.function(input_signature=[tf.TensorSpec([None, generator.model.latent_dim], tf.float32, "latents")])
    def generate(latents):
        return {"images": to_bytes(generator.model(latents))}

    return save_model(module, {"serving_default": generate}, folder, maker, overwrite)
