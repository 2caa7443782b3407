# %% [markdown]
# ### Attention
#
# An encoder without attention must press a whole sentence into one vector. With attention the decoder **looks back**:
# before it writes a word, it compares its state $s$, the *query*, with a *key* for every source word, turns the scores
# into shares that add up to one, and takes that mixture of the source words' *values*, the *context*:
#
# $$e_j = v^\top \tanh(W s + U h_j) \qquad \alpha_j = \frac{\exp e_j}{\sum_k \exp e_k} \qquad c = \sum_j \alpha_j h_j$$
#
# Here $h_j$ is the encoder's vector for source word $j$, its value; $U h_j$ is its key. $e_j$ is its score,
# $\alpha_j$ its share and $c$ the context. $W$, $U$ and $v$ are learned. Three words with scores 2, 0 and 0 get
# shares of 0.79, 0.11 and 0.11: the context is mostly the first word's vector (Bahdanau et al. 2015,
# arXiv:1409.0473).
#
# Two details decide whether it works and whether it is fast:
#
# - **Padding gets exactly zero.** Sentences of a batch differ in length; where there is no word, the score is set to
#   minus infinity before the softmax. Without that, a model attends to nothing at all, and gets away with it.
# - **Keys are projected once a sentence.** $U h_j$ does not depend on the query, so it is computed before the first
#   word is written, not again for each.
#
# The layer returns its weights beside the context. Kept on the layer instead, they would be overwritten by the next
# call and leak out of compiled code.
#
# It is an ordinary Keras layer for a model of your own:
#
# ```python
# attention = BahdanauAttention(units=256)
# keys = attention.project_keys(values)                     # once
# context, weights = attention(query, keys, values, mask)   # for each query
# ```

# %%
"""Step 3, continued: additive attention as a layer of its own."""

import keras
import tensorflow as tf


# %%
class BahdanauAttention(keras.layers.Layer):
    """Additive attention (Bahdanau et al. 2015, arXiv:1409.0473, section A.1.2).

    Letters in shape comments: B batch, S source length, A units, Q and D width of query and values.
    """

    def __init__(self, units: int, **options):
        """Lay out W, U and v; `units` is the width in which queries and keys are compared."""
        super().__init__(**options)
        self.query_projection = keras.layers.Dense(units, use_bias=False, name="query_projection")
        self.key_projection = keras.layers.Dense(units, name="key_projection")
        self.score = keras.layers.Dense(1, use_bias=False, name="score")

    def project_keys(self, values: tf.Tensor) -> tf.Tensor:
        """Return the keys [B, S, A] of values [B, S, D]: U h and a bias, the same for every query."""
        return self.key_projection(values)

    def call(
        self, query: tf.Tensor, keys: tf.Tensor, values: tf.Tensor, mask: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Look at `values` with one query a row.

        Args:
            query: [B, Q].
            keys: [B, S, A], from `project_keys`.
            values: [B, S, D].
            mask: bool [B, S], True where there is a value; at least one in each row, or its weights are not numbers.

        Returns:
            context [B, D], and weights float32 [B, S]: they add up to 1, and are exactly 0 where `mask` is False.
        """
        query = self.query_projection(query)[:, None]  # B 1 A
        scores = self.score(tf.tanh(query + keys))[..., 0]  # B S
        weights = tf.nn.softmax(tf.where(mask, tf.cast(scores, tf.float32), -float("inf")))  # B S
        return mixture(weights, values), weights


def mixture(weights: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """Return the sum over the source of `values` [B, S, D], each times its weight of [B, S]: [B, D]."""
    return tf.matmul(tf.cast(weights, values.dtype)[:, None], values)[:, 0]  # B 1 S by B S D: B 1 D, then B D
