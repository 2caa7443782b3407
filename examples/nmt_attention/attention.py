# %%
"""Step 3: additive attention as a Keras layer. Shapes: B batch, S source, A units, Q query, D values."""

import keras
import tensorflow as tf

from common.nn.attention_gru import weighted_sum

# %% [markdown]
# ### Attention
#
# Attention compares the state $s$ of the decoder, the *query*, with the vector $h_j$ of each source word. The resulting
# *energies* $e_j$ become *weights* $\alpha_j$, and the *context* $c$ is the weighted sum of the *values* $h_j$:
#
# $$e_j = v^\top \tanh(W s + U h_j) \qquad \alpha_j = \frac{\exp e_j}{\sum_k \exp e_k} \qquad c = \sum_j \alpha_j h_j$$
#
# The *keys* $U h_j$ are the same for all queries. Padding gets the energy minus infinity, and so a weight of zero.


# %%
class BahdanauAttention(keras.layers.Layer):
    """Additive attention (Bahdanau et al. 2015, arXiv:1409.0473, A.1.2), here with a bias beside U."""

    def __init__(self, units: int, **options):
        """Create W, U and v; `units` is A, the width in which query and keys are compared."""
        super().__init__(**options)
        self.query_projection = keras.layers.Dense(units, use_bias=False, name="query_projection")  # W
        self.key_projection = keras.layers.Dense(units, name="key_projection")  # U
        self.energy = keras.layers.Dense(1, use_bias=False, name="energy")  # v

    def project_keys(self, values: tf.Tensor) -> tf.Tensor:
        """Return the keys U h_j, [B, S, A], of values [B, S, D], once per sentence."""
        return self.key_projection(values)

    def call(self, query: tf.Tensor, keys: tf.Tensor, values: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return the context [B, D] and the weights float32 [B, S].

        Takes a query [B, Q], keys [B, S, A] from `project_keys`, values [B, S, D], and a mask, bool [B, S], which is
        False for padding. Each row of the mask must have a True; otherwise its weights are NaN.
        """
        query = self.query_projection(query)[:, None]  # B 1 A
        energies = tf.cast(self.energy(tf.tanh(query + keys))[..., 0], tf.float32)  # B S
        weights = tf.nn.softmax(tf.where(mask, energies, -float("inf")))  # B S
        return weighted_sum(weights, values), weights
