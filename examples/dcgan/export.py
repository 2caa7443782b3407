"""Export the EMA generator, so that it maps latents to images without this code."""

from pathlib import Path

import keras
import tensorflow as tf

from common.app.saved_model import save_model
from common.training.checkpoints import named_variables
from examples.dcgan.data import to_bytes
from examples.dcgan.demo import ImageGenerator
from examples.dcgan.model import DCGAN


def export(generator: ImageGenerator, folder: Path, maker: str, overwrite: bool = False) -> Path:
    """Write the SavedModel to `folder` and return it; see `common.app.saved_model.save_model` for the arguments.

    Its one signature maps `latents` float32 [B, Z] from N(0, 1) to {"images": uint8 [B, H, W, C]}.
    """

    @tf.function(input_signature=[tf.TensorSpec([None, generator.model.latent_dim], tf.float32, "latents")])
    def generate(latents):
        return {"images": to_bytes(generator.model(latents))}

    return save_model(generate, named_variables(generator.model).values(), folder, maker, overwrite)


def plain_network(model: DCGAN, form: str) -> keras.Model:
    """Return the EMA generator in Keras' own layers: `latents` float32 [B, Z] to images float32 [B, H, W, C] in [0, 1].

    For the file formats that know no other layers. In float32, whatever the precision of training.
    """
    network, float32 = model.ema_generator.averaged_network, {"dtype": "float32"}
    latents = keras.Input([model.latent_dim], name="latents", **float32)
    copies = []

    def apply(layer: keras.layers.Layer, x: keras.KerasTensor) -> keras.KerasTensor:
        kind = next(kind for kind in (keras.layers.BatchNormalization, type(layer)) if isinstance(layer, kind))
        settings = {name: value for name, value in layer.get_config().items() if name != "dtype"}
        copy = kind.from_config(settings | float32)
        copies.append((copy, layer))
        return copy(x)

    x = apply(network.reshape, apply(network.project, latents))  # B h w c
    for norm, layer, (h, w) in zip(
        network.norms, [*network.upsample, network.output_layer], network.sizes, strict=True
    ):
        x = apply(layer, keras.layers.ReLU(**float32)(apply(norm, x)))  # B 2h 2w c
        x = keras.layers.Cropping2D(((0, x.shape[1] - h), (0, x.shape[2] - w)), **float32)(x)
    images = keras.layers.Rescaling(0.5, 0.5, **float32)(keras.layers.Activation("tanh", **float32)(x))
    plain = keras.Model(latents, images, name="generator")
    for copy, layer in copies:
        copy.set_weights(layer.get_weights())
    return plain
