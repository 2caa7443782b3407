"""Embeddings whose vectors start as far apart as a recurrent network needs them."""

import keras
import tensorflow as tf


class CastAfterLookup(keras.layers.Embedding):
    """`keras.layers.Embedding` with a float32 variable that casts the vectors it looks up, not the whole table.

    The output has the compute dtype of the global policy. Outputs and gradients are those of Keras.
    """

    def __init__(self, *sizes, **options):
        """Take the arguments of `keras.layers.Embedding` except `dtype`."""
        super().__init__(*sizes, dtype="float32", **options)
        self._output_dtype = keras.config.dtype_policy().compute_dtype

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        """Return the vectors [..., width] of ids int [...]."""
        return tf.cast(super().call(ids), self._output_dtype)


def unit_normal_embedding(vocabulary_size: int, width: int, name: str | None = None) -> CastAfterLookup:
    """Return an embedding that starts as N(0, 1).

    With Keras' default of ±0.05 all vectors are nearly equal, and for many steps the gates cannot tell symbols apart.
    """
    normal = keras.initializers.RandomNormal(stddev=1.0)
    return CastAfterLookup(vocabulary_size, width, embeddings_initializer=normal, name=name)
