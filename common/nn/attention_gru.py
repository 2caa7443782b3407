"""The recurrence of a decoder with attention, in which everything that is the same at all steps is computed once.

Shapes: B batch, S source, E embedding, 2U width of the values, A width of the keys, D units of the state.
"""

from functools import partial
from typing import NamedTuple

import keras
import tensorflow as tf


class AttentionMemory(NamedTuple):
    """The encoder outputs h that a decoder attends to, with what is projected once for all steps."""

    values: tf.Tensor
    """h_j, [B, S, 2U]"""
    keys: tf.Tensor
    """h_j projected by the attention, [B, S, A]"""
    projected_values: tf.Tensor
    """h_j projected to the gates of the cell, [B, S, 3D], by `AttentionGRUCell.project_context`"""
    mask: tf.Tensor
    """bool [B, S], False for padding"""


def weighted_sum(weights: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Return the sum over j of weights_j values_j, [B, 2U], of `weights` [B, S] and `values` [B, S, 2U]."""
    return tf.matmul(tf.cast(weights, values.dtype)[:, None], values)[:, 0]  # B 1 S by B S 2U: B 1 2U, then B 2U


class AttentionGRUCell(keras.layers.Layer):
    """One step s_t = GRU([E y_{t-1}; c_t], s_{t-1}) of a decoder (Bahdanau et al. 2015, arXiv:1409.0473, A.2.2).

    With x = E y_{t-1}, s = s_{t-1}, the context c, and the matrices W, C, U, each with blocks for the update gate z,
    the reset gate r and the candidate n side by side:

        z = sigmoid(x W_z + c C_z + s U_z)                  s_t = z s + (1 - z) n
        r = sigmoid(x W_r + c C_r + s U_r)
        n = tanh(x W_n + c C_n + r (s U_n))

    W and U have biases, C has none. Deviations: r is applied after the product with U_n, as in cuDNN, and not before
    it; z and 1 - z are exchanged, as in Cho et al. 2014 (arXiv:1406.1078, equation 7). Each of the products is computed
    where it costs least:

    - x W for all steps at once, by `project_inputs`;
    - c C = (sum_j alpha_j h_j) C = sum_j alpha_j (h_j C): h_j C for all j before the first step, by `project_context`;
    - s U in the step, by `call`.

    `common.nn.muon.Muon` knows the cell by `gru_cell` in the paths of its variables, and treats each of the three
    blocks as a matrix.
    """

    def __init__(self, units: int, **options):
        """Create the three projections; `units` is the width D of the state."""
        super().__init__(**{"name": "attention_gru_cell", **options})
        dense = partial(keras.layers.Dense, 3 * units, dtype=self.dtype_policy)
        self.input_projection = dense(name="input_projection")  # W
        self.context_projection = dense(use_bias=False, name="context_projection")  # C
        self.state_projection = dense(kernel_initializer="orthogonal", name="state_projection")  # U

    def project_inputs(self, x: tf.Tensor) -> tf.Tensor:
        """Return x W and its bias, [..., 3D], of inputs [..., E]."""
        with keras.name_scope(self.name):  # outside of `call`; Muon finds the matrices by this path
            return self.input_projection(x)

    def project_context(self, values: tf.Tensor) -> tf.Tensor:
        """Return h_j C, [B, S, 3D], of the attended values h_j, [B, S, 2U]."""
        with keras.name_scope(self.name):
            return self.context_projection(values)

    def call(
        self, projected_inputs: tf.Tensor, weights: tf.Tensor, projected_values: tf.Tensor, state: tf.Tensor
    ) -> tf.Tensor:
        """Return the new state s_t, [B, D].

        Args:
            projected_inputs: x W of this step, [B, 3D], from `project_inputs`.
            weights: the attention weights alpha of this step, [B, S].
            projected_values: [B, S, 3D], from `project_context`.
            state: s_{t-1}, [B, D].
        """
        projected = projected_inputs + weighted_sum(weights, projected_values)  # B 3D, x W + c C
        x_z, x_r, x_n = tf.split(projected, 3, axis=-1)  # B D each
        s_z, s_r, s_n = tf.split(self.state_projection(state), 3, axis=-1)  # B D each
        z, r = tf.sigmoid(x_z + s_z), tf.sigmoid(x_r + s_r)
        n = tf.tanh(x_n + r * s_n)
        return z * state + (1 - z) * n
