"""An output layer without weights of its own.

Shapes: B batch, T time, E embedding, V vocabulary.
"""

from collections.abc import Callable

import keras
import tensorflow as tf


class TiedLogits(keras.layers.Layer):
    """Logits whose output matrix is an embedding (Press and Wolf 2017, arXiv:1608.05859).

        logits_v = x . e_v / sqrt(E)            for each row e_v of the embedding

    The factor is not in the paper. With an embedding that starts as N(0, 1) it makes the loss of the untrained model
    about ln V.
    """

    def __init__(self, embedding: keras.layers.Embedding, **options):
        """Share the matrix of `embedding`, whose variable must exist by the first call."""
        super().__init__(**options)
        self.embedding = embedding

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Return the logits float32 [..., V] of vectors [..., E]."""
        columns = tf.transpose(self._rows())  # E V
        return tf.cast(tf.tensordot(_scaled(x), columns, 1), tf.float32)

    def make_step(self) -> Callable[[tf.Tensor], tf.Tensor]:
        """Return a function that maps vectors [B, E] of one step to the logits float32 [B, V], as `call` does.

        The matrix is cast and transposed here, so call this once, before a loop. A batch of one row is multiplied by
        the matrix as it is stored: the product takes less time than the transposition.
        """
        rows = self._rows()  # V E
        columns = tf.transpose(rows)  # E V

        def output_logits(x: tf.Tensor) -> tf.Tensor:
            x = _scaled(x)
            logits = tf.matmul(x, rows, transpose_b=True) if x.shape[0] == 1 else tf.matmul(x, columns)  # B V
            return tf.cast(logits, tf.float32)

        return output_logits

    def _rows(self) -> tf.Tensor:
        return tf.cast(self.embedding.embeddings, self.compute_dtype)  # V E


def _scaled(x: tf.Tensor) -> tf.Tensor:
    return x * x.shape[-1] ** -0.5
