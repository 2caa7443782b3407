"""A small image classifier; `evaluate` uses its features to compare generated with real images.

It is trained once for each data set, with Keras' `compile` and `fit`, and kept in the user's cache.
"""

import contextlib
import hashlib
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import platformdirs
import tensorflow as tf

from common.data.batching import without_autotuning
from common.errors import UserError
from common.io.tensors import tensor_bytes
from common.io.terminal import echo
from common.training import trainer
from common.training.checkpoints import Checkpoints, named_variables
from examples.dcgan.data import ImageSet, to_unit_range

_CACHE_VERSION = 1  # part of the cache key: raise it when network or training below change
_BATCH_SIZE = 128
_SEED = 1
_MIN_STEPS = 400


@dataclass(frozen=True)
class FeatureClassifier:
    """A trained classifier, its accuracy on held-out images, and the sha256 of its weights."""

    network: keras.Model
    accuracy: float
    sha256: str

    def features(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return features float32 [N, 128] and class probabilities float32 [N, K] of images uint8 [N, H, W, C]."""
        batches = tf.data.Dataset.from_tensor_slices(images).batch(500).map(to_unit_range)
        features, logits = self.network.predict(without_autotuning(batches), verbose=0)
        return features, np.asarray(tf.nn.softmax(logits))


def load_or_train_classifier(images: ImageSet) -> FeatureClassifier:
    """Return the classifier of `images`, which have labels and held-out images, from the cache if it is there.

    Raises:
        UserError: the cache cannot be written.
    """
    trainer.set_seed_and_precision(_SEED, precision="float32")  # the same classifier, whatever the precision of the run
    network = _build(images.train.shape[1:], int(images.train_labels.max()) + 1)
    variables = named_variables(network)
    checkpoints = Checkpoints(_cache_path(images), network=variables)
    state = None
    with contextlib.suppress(UserError):  # damaged: train it again
        state = checkpoints.restore("best")
    if state is None:
        state = {"accuracy": _train(network, images)}
        try:
            checkpoints.save("best", 0, state)
        except UserError as error:
            raise UserError(f"{error}; or point XDG_CACHE_HOME at a folder that can be written") from error
    weights = tensor_bytes({name: variable.numpy() for name, variable in variables.items()})
    return FeatureClassifier(network, state["accuracy"], hashlib.sha256(weights).hexdigest())


def _build(image_shape: tuple[int, ...], classes: int) -> keras.Model:
    """Return the network: three strided convolutions, a layer of 128 features, and the logits of the classes."""
    layers = keras.layers
    inputs = keras.Input(image_shape)
    x = inputs
    for filters in (32, 64, 128):
        x = layers.Conv2D(filters, 4, strides=2, padding="same", use_bias=False)(x)
        x = layers.Activation("relu")(layers.BatchNormalization()(x))
    features = layers.Dense(128, activation="relu")(layers.Dropout(0.3)(layers.Flatten()(x)))
    logits = layers.Dense(classes, dtype="float32")(layers.Dropout(0.3)(features))
    return keras.Model(inputs, [features, logits])


def _train(network: keras.Model, images: ImageSet) -> float:
    """Train for four epochs, more on small data; return the accuracy on the held-out images."""
    count = len(images.train)
    epochs = max(4, -(-_MIN_STEPS * _BATCH_SIZE // count))
    steps = epochs * -(-count // _BATCH_SIZE)
    echo(f"training the feature classifier ({steps} steps, once for this data)")
    logits_only = keras.Model(network.inputs, network.outputs[1])
    logits_only.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(2e-3, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    examples = tf.data.Dataset.from_tensor_slices((images.train, images.train_labels)).shuffle(count, seed=_SEED)
    scaled = without_autotuning(examples.batch(_BATCH_SIZE).map(lambda x, y: (to_unit_range(x), y)))
    logits_only.fit(scaled, epochs=epochs, shuffle=False, verbose=0)  # the data set shuffles
    return logits_only.evaluate(to_unit_range(images.held_out), images.held_out_labels, verbose=0)[1]


def _cache_path(images: ImageSet) -> Path:
    labels = hashlib.sha256(images.train_labels.tobytes()).hexdigest()
    key = hashlib.sha256(f"{_CACHE_VERSION} {images.fingerprint} {labels}".encode()).hexdigest()[:16]
    return Path(platformdirs.user_cache_dir("eager-examples")) / "classifiers" / key
