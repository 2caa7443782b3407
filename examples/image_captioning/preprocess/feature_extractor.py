"""The features of an image: by a frozen network of keras.applications, or, of drawn scenes, the pixels themselves.

The image features come from a classifier of `keras.applications`. It is *frozen*, so the features of each photo, two
grids of vectors over it, are computed only once. `feature_store.py` keeps them in files under `--features-dir`.

The last layer is best at *what* is there, but not at *where*: in MobileNetV2 a changed patch of 32 x 32 pixels
changes nearly half of its 7 x 7 cells. A middle layer (`block_13_expand_relu`, 14 x 14 cells) is more precise. So
attention is computed from the middle layer, and the context contains both.
"""

import contextlib
import hashlib
import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

from common.data.download import is_offline
from common.errors import UserError
from common.io.files import read_plain, write_atomically
from common.io.tensors import tensor_bytes, tensors_from
from common.training.checkpoints import named_variables
from examples.image_captioning.download.toy_scenes import SIZE
from examples.image_captioning.preprocess.fuse_batch_norm import fuse_batch_norm


@dataclass(frozen=True)
class Network:
    """A classifier without its top, its input and the middle layer of location features."""

    make: Callable[..., keras.Model]
    preprocess: Callable[[tf.Tensor], tf.Tensor]  # from float32 0 ... 255 to what the network expects
    image_size: int
    middle_layer: str
    pool: int  # 2: each 2 x 2 cells of that layer are averaged to one cell; 1: none are


NETWORKS = {
    "mobilenet_v2": Network(
        keras.applications.MobileNetV2,
        keras.applications.mobilenet_v2.preprocess_input,
        image_size=224,
        middle_layer="block_13_expand_relu",
        pool=1,
    ),
    # 14 x 14 cells of 576 channels, and 7 x 7 of 1,280
    "inception_v3": Network(
        keras.applications.InceptionV3,
        keras.applications.inception_v3.preprocess_input,
        image_size=299,
        middle_layer="mixed7",
        pool=2,
    ),
    # 8 x 8 cells of 768 channels, and 8 x 8 of 2,048
}
MAX_BYTES = 1 << 28  # of a file of weights; InceptionV3 has 87 MB


@dataclass(frozen=True)
class FeatureExtractor:
    """Maps square images to the features of a frozen network, or, without one, to their pixels."""

    name: str
    image_size: int
    network: keras.Model | None = None
    """maps images to the middle layer [B, R, R, C] and the last one [B, Q, Q, D]; its batch norm is fused"""
    base: keras.Model | None = None
    """the network as published, without its top"""
    mirror: bool = False
    """whether images are mirrored first, left to right"""

    @property
    def grids(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Cells and channels of the two layers: (L, C) of the middle one and (M, D) of the last."""
        middle, last = ((rows * columns, channels) for _, rows, columns, channels in self.network.output_shape)
        return middle, last

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of the features of an image: (L C + M D), both grids end to end, or (size, size, 3)."""
        if self.network is None:
            return (self.image_size, self.image_size, 3)
        return (sum(cells * channels for cells, channels in self.grids),)

    @property
    def dtype(self) -> str:
        """The dtype of the features: half precision is enough, because training adds dropout noise."""
        return "uint8" if self.network is None else "float16"

    @cached_property
    def key(self) -> str:
        """The key of the features: the name, image size, feature shape and a digest of the weights."""
        digest = hashlib.sha256()
        for weight in self.network.get_weights() if self.network else ():
            digest.update(np.ascontiguousarray(weight))
        kept = "x".join(map(str, self.shape))
        return f"{self.name}-{self.image_size}-{kept}-{digest.hexdigest()[:16]}{'-mirrored' * self.mirror}"

    def __call__(self, pixels: tf.Tensor) -> tf.Tensor:
        """Map pixels, uint8 [B, S, S, 3], to features [B, *shape]; compiled."""
        return self._compiled(pixels)

    @cached_property
    def _compiled(self):
        size = self.image_size
        return tf.function(self.extract, input_signature=[tf.TensorSpec([None, size, size, 3], tf.uint8)])

    def extract(self, pixels: tf.Tensor) -> tf.Tensor:
        """Map pixels to features, for use inside another graph."""
        pixels = tf.reverse(pixels, axis=[2]) if self.mirror else pixels  # B S S 3
        if self.network is None:
            return pixels
        layers = self.network(NETWORKS[self.name].preprocess(tf.cast(pixels, tf.float32)), training=False)
        flat = [tf.reshape(layer, [-1, math.prod(layer.shape[1:])]) for layer in layers]  # B LC, B MD
        return tf.cast(tf.concat(flat, axis=-1), tf.float16)  # B LC+MD


def _without_connection() -> contextlib.AbstractContextManager:
    """Return a block in which Keras takes weights from its cache, and cannot download any."""
    refusal = ConnectionError("EAGER_EXAMPLES_OFFLINE is set, and Keras has not downloaded them before")
    return mock.patch("urllib.request.urlopen", side_effect=refusal)


def load_extractor(name: str, weights: str) -> FeatureExtractor:
    """Return the extractor called `name`.

    Args:
        name: "mobilenet_v2", "inception_v3", or "tiny": pixels, for the network in the model.
        weights: "imagenet", "random", or the path of a weights file without the top: of Keras (.h5), or as a run keeps
            it (.safetensors).

    Raises:
        UserError: the weights cannot be had, or do not fit.
    """
    if name == "tiny":
        return FeatureExtractor(name, SIZE)
    recipe = NETWORKS[name]
    size = recipe.image_size
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")  # features do not depend on the arithmetic of training
    try:
        is_kept = weights.endswith(".safetensors")
        of_keras = None if is_kept or weights == "random" else weights
        with _without_connection() if is_offline() else contextlib.nullcontext():
            whole = recipe.make(include_top=False, weights=of_keras, input_shape=(size, size, 3))
        if is_kept:
            tensors = tensors_from(read_plain(Path(weights), MAX_BYTES), Path(weights))
            for part, variable in named_variables(whole).items():
                variable.assign(tensors[part])
        middle = whole.get_layer(recipe.middle_layer).output
        if recipe.pool > 1:
            middle = keras.layers.AveragePooling2D(recipe.pool)(middle)
        network = fuse_batch_norm(keras.Model(whole.input, [middle, whole.output], name=name))
    except Exception as error:  # of many kinds: no network, no such file, no HDF5, other shapes
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise UserError(
            f"--encoder-weights {weights}: cannot be loaded into {name} ({reason}); fetch it elsewhere into "
            "~/.keras/models, name a file of weights without the top (.weights.h5, or Keras' ..._no_top.h5), or random "
            "to try it out"
        ) from error
    finally:
        keras.config.set_dtype_policy(policy)
    network.trainable = False
    return FeatureExtractor(name, size, network, whole)


def write_weights(extractor: FeatureExtractor, path: Path) -> None:
    """Write the weights of an extractor's network as published, without its top, for `load_extractor`."""
    tensors = {name: variable.numpy() for name, variable in named_variables(extractor.base).items()}
    write_atomically(path, tensor_bytes(tensors))
