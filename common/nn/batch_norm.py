"""Batch normalisation over the whole batch, however many devices share it."""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

import keras
import tensorflow as tf

from common.nn.replicas import replica_count

_has_whole_batch = ContextVar("has_whole_batch", default=False)


class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` (Ioffe and Szegedy 2015) with the statistics of the examples of all replicas.

    With one replica it is Keras' layer. Keras' `synchronized=True` computes the variance in another way, and slower.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Return `inputs`, [B, ..., C], normalised."""
        self.synchronized = replica_count() > 1 and not _has_whole_batch.get()
        return super().call(inputs, training, mask)


@contextlib.contextmanager
def on_whole_batch() -> Iterator[None]:
    """Let each replica use the statistics of its own examples, because they are the whole batch."""
    token = _has_whole_batch.set(True)
    try:
        yield
    finally:
        _has_whole_batch.reset(token)
