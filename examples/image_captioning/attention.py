# %% [markdown]
# ## Attention over the image
#
# *Soft* attention (Xu et al. 2015, section 4.2), here additive (Bahdanau et al. 2015, arXiv:1409.0473), compares the
# hidden state $h_t$ with every cell of the location grid. The **query** is $W_a h_t$, the **keys** are $U_a v_l$, and
# the context $z_t$ is a weighted mean:
#
# $$e_{tl} = v_a^\top \tanh(W_a h_t + U_a v_l) \qquad \alpha_{tl} = \mathrm{softmax}_l(e_{tl}) \qquad
#   z_t = \sum_l \alpha_{tl} \, [v_l, u_{m(l)}]$$
#
# The gate of the context, $\beta_t$, is in the output layer (`DeepOutput` in `model.py`).
#
# The location features $v_l$ give the keys. The content values $u_m$ (see `model.py`) may be on a coarser grid; in the
# paper, one vector $a_l$ is both. The weight of a content cell is the sum of the weights of the location cells in it;
# $m(l)$ is the content cell around $l$. The last layer of a CNN is imprecise about positions. So no gradient flows
# through these sums, and attention learns from the location features only. Letters in shape comments: B captions, T
# words, L and M cells, C channels, A attention units, U units.

# %%
"""Step 3: additive attention over the two grids of an image."""

import math
from typing import NamedTuple

import keras
import tensorflow as tf


# %%
class EncoderOutput(NamedTuple):
    """The encoded images."""

    location_features: tf.Tensor  # v, B L C
    content_values: tf.Tensor  # u, B M U
    keys: tf.Tensor  # U_a v, B L A
    mean_feature: tf.Tensor  # g, B U


class GridAttention(keras.layers.Layer):
    """Attend to the cells of an image by additive attention (Bahdanau et al. 2015, section A.1.2)."""

    def __init__(self, units: int):
        """Create the layers; `units` is A."""
        super().__init__()
        self.key_projection = keras.layers.Dense(units, name="key_projection")  # U_a
        self.query_projection = keras.layers.Dense(units, use_bias=False, name="query_projection")  # W_a
        self.energy = keras.layers.Dense(1, use_bias=False, name="energy")  # v_a

    def call(self, hidden: tf.Tensor, image: EncoderOutput) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return z_t in two parts, [B, T, C] and [B, T, U], and weights float32 [B, T, L] for h_t [B, T, U]."""
        queries = self.query_projection(hidden)  # B T A
        features = tf.tanh(image.keys[:, None] + queries[:, :, None])  # B T L A
        rows = tf.reshape(features, [-1, features.shape[-1]])  # BTL A; on four axes TensorFlow before 2.21 crashes
        energies = tf.reshape(self.energy(rows), tf.shape(features)[:-1])  # B T L
        weights = tf.nn.softmax(tf.cast(energies, tf.float32))  # B T L
        fine = tf.cast(weights, hidden.dtype)  # B T L
        coarse = sum_cells(fine, image.content_values.shape[1])  # B T M
        coarse = tf.stop_gradient(coarse)
        return tf.matmul(fine, image.location_features), tf.matmul(coarse, image.content_values), weights


def sum_cells(weights: tf.Tensor, cells: int) -> tf.Tensor:
    """Return weights [B, T, L] of a square grid summed into the M = `cells` cells of a coarser one, [B, T, M]."""
    side = math.isqrt(cells)
    ratio = math.isqrt(weights.shape[-1]) // side
    blocks = tf.reshape(weights, [-1, side, ratio, side, ratio])  # BT side ratio side ratio
    return tf.reshape(tf.reduce_sum(blocks, axis=[2, 4]), tf.concat([tf.shape(weights)[:-1], [cells]], axis=0))
