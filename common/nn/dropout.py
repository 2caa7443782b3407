"""Dropout whose mask differs between the replicas of a model."""

import keras
import tensorflow as tf

from common.nn.replicas import replica_index

_DISTANCE = 1 << 40  # between the counters of two replicas; more than one replica ever draws


class ReplicaSeedGenerator(keras.random.SeedGenerator):
    """A `keras.random.SeedGenerator` that gives each replica other seeds, and the first one the usual seeds."""

    def next(self, ordered: bool = True) -> tf.Tensor:
        """Return the next seed, int64 [2]."""
        seed = super().next(ordered)
        return seed + tf.cast(tf.stack([0, tf.cast(replica_index(), tf.int64) * _DISTANCE]), seed.dtype)


class Dropout(keras.layers.Layer):
    """As `keras.layers.Dropout` (Srivastava et al. 2014), whose mask would be the same on every replica."""

    def __init__(self, rate: float, **options):
        """Create the layer; `rate` is the fraction of the inputs that training sets to zero."""
        super().__init__(**options)
        self.rate = rate
        self.seed_generator = ReplicaSeedGenerator() if rate else None  # saved with the weights

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return `x`; when `training` with a random part of it zero, and the others divided by 1 - rate."""
        if not training or not self.rate:
            return x
        return keras.random.dropout(x, self.rate, seed=self.seed_generator)
