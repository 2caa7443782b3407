"""Batch normalisation over the whole batch, however many devices share it."""

import keras

from common.nn.replicas import replica_count


class BatchNormalization(keras.layers.BatchNormalization):
    """`keras.layers.BatchNormalization` (Ioffe and Szegedy 2015) with the statistics of the examples of all replicas.

    With one replica it is Keras' layer. Keras' `synchronized=True` computes the variance in another way, and slower.
    """

    def __init__(self, **options):
        """Create the layer; `options` are those of Keras."""
        super().__init__(synchronized=replica_count() > 1, **options)
