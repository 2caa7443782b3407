"""Word dropout: tokens of the input replaced by the unknown token in training."""

import keras
import tensorflow as tf

from common.nn.dropout import ReplicaSeedGenerator


class TokenDropout(keras.layers.Layer):
    """Replace a random fraction of the tokens by the unknown token (Bowman et al. 2016, arXiv:1511.06349, section 3).

    A decoder that cannot rely on the tokens before must use what it is conditioned on. Nothing is replaced outside of
    training.
    """

    def __init__(self, rate: float, unknown: int):
        """Replace tokens with the probability `rate`, from 0 to 1; `unknown` is the id of the unknown token."""
        super().__init__()
        self.rate, self.unknown = rate, unknown
        self.seed_generator = ReplicaSeedGenerator() if rate else None  # saved with the weights

    def call(self, ids: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return ids int32 [B, T], of which a fraction `rate` is the unknown token when `training`."""
        if not training or not self.rate:
            return ids
        uniform = keras.random.uniform(tf.shape(ids), dtype="float32", seed=self.seed_generator)  # B T
        return tf.where(uniform < self.rate, self.unknown, ids)  # B T
