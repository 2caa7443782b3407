# %%
"""Step 3: additive attention as a Keras layer. B batch, S source; widths: annotation 2U, query Q = D+E, key A."""

import keras
import tensorflow as tf

from common.nn.attention_gru import weighted_sum

# %% [markdown]
# ## Attention
#
# Attention compares a *query* $q_t$ (in the paper $s_{t-1}$) with the annotation $h_j$ of each source word. The
# *alignment model* of the paper computes the *energies* $e_{tj}$. A softmax gives the *weights* $\alpha_{tj}$. The
# *context* $c_t$ is the weighted sum of the *values* $h_j$ (A.1.2, equations 6 and 5):
#
# $$e_{tj} = v_a^\top \tanh(W_a q_t + U_a h_j) \qquad \alpha_{tj} = \frac{\exp e_{tj}}{\sum_k \exp e_{tk}} \qquad
#   c_t = \sum_j \alpha_{tj} h_j$$
#
# The *keys* $U_a h_j$ (bias omitted) are the same for all queries. Padding has an energy of $-\infty$: its weight is 0.


# %%
class BahdanauAttention(keras.layers.Layer):
    """Additive attention (Bahdanau et al. 2015, arXiv:1409.0473, A.1.2)."""

    def __init__(self, units: int, **options):
        """Create W_a, U_a and v_a; `units` is A, the width in which query and keys are compared."""
        super().__init__(**options)
        self.query_projection = keras.layers.Dense(units, use_bias=False, name="query_projection")  # W_a
        self.key_projection = keras.layers.Dense(units, name="key_projection")  # U_a
        self.energy = keras.layers.Dense(1, use_bias=False, name="energy")  # v_a

    def project_keys(self, values: tf.Tensor) -> tf.Tensor:
        """Return the keys U_a h_j, [B, S, A], of values [B, S, 2U], once per sentence."""
        return self.key_projection(values)

    def call(self, query: tf.Tensor, keys: tf.Tensor, values: tf.Tensor, mask: tf.Tensor) -> tuple[tf.Tensor, ...]:
        """Return the context [B, 2U] and the weights float32 [B, S].

        Takes a query [B, Q], keys [B, S, A] from `project_keys`, values [B, S, 2U], and a mask, bool [B, S], which is
        False for padding. Each row of the mask must have a True; otherwise its weights are NaN.
        """
        query = self.query_projection(query)[:, None]  # B 1 A
        energies = tf.cast(self.energy(tf.tanh(query + keys))[..., 0], tf.float32)  # B S
        weights = tf.nn.softmax(tf.where(mask, energies, -float("inf")))  # B S
        return weighted_sum(weights, values), weights  # c_t B 2U, B S
