"""Dropout whose mask differs between the replicas of a model."""

import keras
import tensorflow as tf

from common.nn.replicas import replica_index


class ReplicaSeedGenerator(keras.random.SeedGenerator):
    """A `keras.random.SeedGenerator` that gives each replica other seeds, and the first one the usual seeds."""

    def next(self, ordered: bool = True) -> tf.Tensor:
        """Return the next seed, int64 [2]."""
        seed = super().next(ordered)
        # The second number counts the draws. Keras takes both modulo 2^31 - 2, so no distance between the counts of
        # replicas would be large enough.
        return seed + tf.stack([tf.cast(replica_index(), seed.dtype), 0])


class Dropout(keras.layers.Layer):
    """As `keras.layers.Dropout` (Srivastava et al. 2014), whose mask would be the same on every replica.

    The mask is drawn in float32. Keras draws it in the compute dtype: in bfloat16 a rate of 0.4 becomes 0.406.
    """

    def __init__(self, rate: float, **options):
        """Create the layer; `rate` is the fraction of the inputs that training sets to zero."""
        super().__init__(**options)
        self.rate = rate
        self.seed_generator = ReplicaSeedGenerator() if rate else None  # saved with the weights

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return `x`; when `training` with a random part of it zero, and the others divided by 1 - rate."""
        if not training or not self.rate:
            return x
        is_kept = keras.random.uniform(tf.shape(x), dtype="float32", seed=self.seed_generator) >= self.rate
        return tf.where(is_kept, x * tf.cast(1 / (1 - self.rate), x.dtype), tf.zeros_like(x))
