"""Embeddings whose vectors start as far apart as a recurrent network needs them."""

import keras
import tensorflow as tf


def unit_normal_embedding(
    vocabulary_size: int, width: int, name: str | None = None, cast_table: bool = False
) -> keras.layers.Embedding:
    """Return an embedding that starts as N(0, 1) and maps ids int [...] to vectors [..., width].

    With Keras' default of ±0.05 all vectors are nearly equal, and for many steps the gates cannot tell symbols apart.

    The variable is float32, the output has the compute dtype of the global policy. By default the vectors are cast
    after the lookup: few rows are cast instead of the whole table, and the gradients of a row are summed in float32.

    Args:
        vocabulary_size: the number of rows.
        width: of a vector.
        name: of the layer.
        cast_table: cast the whole table before the lookup, as `keras.layers.Embedding` does. Both give the same output.
    """
    kind = keras.layers.Embedding if cast_table else _CastAfterLookup
    return kind(vocabulary_size, width, embeddings_initializer=keras.initializers.RandomNormal(stddev=1.0), name=name)


class _CastAfterLookup(keras.layers.Embedding):
    def __init__(self, *sizes, **options):
        super().__init__(*sizes, dtype="float32", **options)
        self._output_dtype = keras.config.dtype_policy().compute_dtype

    def call(self, ids: tf.Tensor) -> tf.Tensor:
        return tf.cast(super().call(ids), self._output_dtype)
