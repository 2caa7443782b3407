# %% [markdown]
# ### Attention
#
# Before a word is said, it compares the decoder's state with every cell of a grid over the photo, and turns the
# comparison into shares that add up to one. It is asked for one word (when a caption is made) or for all words of a
# caption at once (in training), and returns what it saw *and where it looked*.
#
# Places are told apart on a fine grid. What is there may be known on a coarser one only, of which each cell gets what
# the fine cells in it get together.
#
# Letters in shape comments: B captions side by side, T words, L cells, M coarse cells, C channels, A attention, U
# units.

# %%
"""Step 3, continued: additive attention over a picture as a layer of its own."""

import math

import keras
import tensorflow as tf

# %%
Seen = tuple[tf.Tensor, tf.Tensor]
"""What was seen for each word: where [B, T, C], what [B, T, U]"""


class Attention(keras.layers.Layer):
    """Additive attention over the cells of a grid (Bahdanau et al. 2014, arXiv:1409.0473, section A.1.2)."""

    def __init__(self, units: int):
        """Lay out the layers; `units` is A."""
        super().__init__()
        self.key = keras.layers.Dense(units)
        self.question = keras.layers.Dense(units, use_bias=False)
        self.score = keras.layers.Dense(1, use_bias=False)

    def call(self, states: tf.Tensor, where: tf.Tensor, what: tf.Tensor, keys: tf.Tensor) -> tuple[Seen, tf.Tensor]:
        """Look at the grid from each state.

        Args:
            states: [B, T, U].
            where: [B, L, C].
            what: [B, M, U]; no gradient flows from it to the weights, so that where to look is learned from `where`.
            keys: [B, L, A], from `self.key`, the same for all words.

        Returns:
            what was seen, [B, T, C] and [B, T, U], and the weights float32 [B, T, L], which add up to one over L.
        """
        met = tf.tanh(keys[:, None] + self.question(states)[:, :, None])  # B T L A
        weights = tf.nn.softmax(tf.cast(tf.squeeze(self.score(met), -1), tf.float32))  # B T L
        shares = tf.cast(weights, where.dtype)  # B T L
        coarse = tf.stop_gradient(add_up_cells(shares, what.shape[1]))  # B T M
        return (tf.matmul(shares, where), tf.matmul(coarse, what)), weights


def add_up_cells(shares: tf.Tensor, cells: int) -> tf.Tensor:
    """Return what the cells of a coarser square grid get, [B, T, M]: together, what those of `shares` [B, T, L] get."""
    side = math.isqrt(cells)
    finer = math.isqrt(shares.shape[-1]) // side
    blocks = tf.reshape(shares, [-1, side, finer, side, finer])  # BT sqrt(M) . sqrt(M) .
    return tf.reshape(tf.reduce_sum(blocks, axis=[2, 4]), tf.concat([tf.shape(shares)[:-1], [cells]], axis=0))  # B T M
