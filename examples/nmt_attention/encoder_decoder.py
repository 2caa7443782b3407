# %% [markdown]
# ### Encoder and decoder
#
# Letters in shape comments: B batch, S source length, T target length, E embedding, U encoder units a direction,
# D decoder units, A attention units, V vocabulary of the target.

# %%
"""Step 3, continued: what reads the source, and what writes the translation with its eyes on the source."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from common.nn.recurrent import GRU

# %% tags=["module"]
from examples.nmt_attention.attention import BahdanauAttention, mixture


# %%
class Memory(NamedTuple):
    """What the decoder looks at: everything about the source that stays the same while it writes."""

    values: tf.Tensor
    """[B, S, 2U], a vector for each source word in its sentence"""
    gates: tf.Tensor
    """[B, S, 3D], what each vector would add to the gates of the decoder, were it all the context"""
    keys: tf.Tensor
    """[B, S, A], the same projected for the comparison"""
    mask: tf.Tensor
    """bool [B, S], True where there is a word"""


def embedding(vocabulary_size: int, width: int, name: str) -> keras.layers.Embedding:
    """Return an embedding that starts as N(0, 1): with Keras' ±0.05 all words look alike to the gates for long."""
    initializer = keras.initializers.RandomNormal(stddev=1.0)
    # In float32 whatever the precision: a few rows are soon converted, the whole table is not.
    return keras.layers.Embedding(
        vocabulary_size, width, embeddings_initializer=initializer, name=name, dtype="float32"
    )


# %% [markdown]
# **The encoder.** A GRU reads word by word and carries a state along; gates decide how much of it each word changes
# (Cho et al. 2014, arXiv:1406.1078). One reads from left to right, one from right to left; a word's vector is both
# states side by side. The mask is an argument: the state stands still where there is no word, so the reader from the
# right begins at the last word, not in the padding.


# %%
class Encoder(keras.layers.Layer):
    """Embedding, dropout, and a bidirectional GRU (Bahdanau et al. 2015, section A.2.1)."""

    def __init__(self, vocabulary_size: int, embedding_dim: int, units: int, dropout: float, plain_gru: bool):
        """Lay out the layers; `units` is the width of one direction."""
        super().__init__(name="encoder")
        self.embedding = embedding(vocabulary_size, embedding_dim, "source_embedding")
        self.dropout = keras.layers.Dropout(dropout)
        gru = keras.layers.GRU if plain_gru else GRU
        self.forward = gru(units, return_sequences=True, name="forward")
        self.backward = gru(units, return_sequences=True, go_backwards=True, name="backward")

    def call(self, source: tf.Tensor, mask: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Read source ids int32 [B, S] where `mask` bool [B, S] is True; return a vector for each word, [B, S, 2U]."""
        x = self.dropout(tf.cast(self.embedding(source), self.compute_dtype), training=training)  # B S E
        forward = self.forward(x, mask=mask, training=training)  # B S U
        backward = self.backward(x, mask=mask, training=training)  # B S U, the last word first
        return tf.concat([forward, tf.reverse(backward, axis=[1])], axis=-1)  # B S 2U


# %% [markdown]
# **The decoder.** In training the right words are known, so the decoder is fed them (*teacher forcing*) and only the
# states have to be computed one after the other. Everything else waits until the loop is done: the logits of all words,
# by far the largest product, are one matrix multiplication.
#
# Something leaves the loop at its other end too: what the context $c$ adds to the gates, its product with a matrix $C$.
#
# $$c\,C = \Big(\sum_j \alpha_j h_j\Big) C = \sum_j \alpha_j\,(h_j C)$$
#
# So all $h_j$ are multiplied by $C$ at once before the first word, and each step mixes these products as it mixes the
# $h_j$ themselves.
#
# `step` is the loop's body in training, and all that decoding needs. There is one code path and one set of weights.
#
# The output layer reuses the target embedding (Press and Wolf 2017, arXiv:1608.05859): a word is likely if its vector
# points where the read-out points. It is scaled by $1/\sqrt{E}$, so that the untrained model's loss is close to
# $\ln V$. The read-out must be free to grow: squeezed through a tanh, no word could ever be much likelier than the
# others, and the model learned half as fast.


# %%
class Decoder(keras.layers.Layer):
    """A GRU with attention, read-out, and logits tied to the embedding (after Bahdanau et al. 2015, section A.2.2)."""

    def __init__(self, vocabulary_size: int, embedding_dim: int, units: int, attention_units: int, dropout: float):
        """Lay out the layers; `units` is the width of the state."""
        super().__init__(name="decoder")
        self.embedding = embedding(vocabulary_size, embedding_dim, "target_embedding")
        self.dropout = keras.layers.Dropout(dropout)
        self.initial = keras.layers.Dense(units, activation="tanh", name="initial_state")
        self.attention = BahdanauAttention(attention_units, name="attention")
        self.word_gates = keras.layers.Dense(3 * units, name="word_gates")
        self.context_gates = keras.layers.Dense(3 * units, use_bias=False, name="context_gates")
        self.state_gates = keras.layers.Dense(3 * units, kernel_initializer="orthogonal", name="state_gates")
        small = keras.initializers.VarianceScaling(0.25, "fan_in")
        self.readout = keras.layers.Dense(embedding_dim, kernel_initializer=small, name="readout")

    def remember(self, values: tf.Tensor, mask: tf.Tensor) -> tuple[Memory, tf.Tensor]:
        """Return the memory of a source sentence, and the state [B, D] in which to begin: tanh of its mean vector."""
        weights = tf.cast(mask, values.dtype)[..., None]  # B S 1
        mean = tf.reduce_sum(values * weights, axis=1) / tf.reduce_sum(weights, axis=1)  # B 2U
        return Memory(values, self.context_gates(values), self.attention.project_keys(values), mask), self.initial(mean)

    def step(self, from_word: tf.Tensor, state: tf.Tensor, memory: Memory) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Look, then move on by one word: attention and the equations of a GRU.

        Args:
            from_word: [B, 3D], `word_gates` of the word before.
            state: [B, D].
            memory: of the source.

        Returns:
            the new state [B, D], the context [B, 2U] and the attention weights float32 [B, S].
        """
        context, weights = self.attention(state, memory.keys, memory.values, memory.mask)
        from_context = mixture(weights, memory.gates)  # B 3D, as `context_gates` of the context
        update, reset, new = tf.split(from_word + from_context, 3, axis=-1)  # B D each
        update_state, reset_state, new_state = tf.split(self.state_gates(state), 3, axis=-1)  # B D each
        update, reset = tf.sigmoid(update + update_state), tf.sigmoid(reset + reset_state)  # B D, shares from 0 to 1
        new = tf.tanh(new + reset * new_state)  # B D, what the state would become
        return update * state + (1 - update) * new, context, weights

    def output_table(self) -> tf.Tensor:
        """Return what a summary is multiplied with for the logits, [V, E]: the target embedding."""
        return tf.cast(self.embedding.embeddings, self.compute_dtype)

    def summary(self, embedded: tf.Tensor, state: tf.Tensor, context: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return the read-out [..., E] of what was read, remembered and seen, each [..., *], scaled for the logits."""
        x = self.readout(tf.concat([embedded, state, context], axis=-1))  # ... E
        return self.dropout(x, training=training) * x.shape[-1] ** -0.5

    def reader(self) -> Callable[[tf.Tensor, tf.Tensor, Memory], tuple[tf.Tensor, tf.Tensor, tf.Tensor]]:
        """Return a function that reads one word a row: as `call` on translations of one word, without the loop.

        It maps words int32 [B], the state [B, D] and the memory of the source to the logits float32 [B, V] of the word
        after it, the new state, and the attention weights float32 [B, S]. What is the same for all words is computed
        here, so call this once, before a loop.
        """
        rows = self.output_table()  # V E
        columns = tf.transpose(rows)  # E V; one sentence alone is translated before this is worth its time

        def read(words: tf.Tensor, state: tf.Tensor, memory: Memory) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
            embedded = tf.cast(self.embedding(words), self.compute_dtype)  # B E
            state, context, weights = self.step(self.word_gates(embedded), state, memory)
            x = self.summary(embedded, state, context)  # B E
            logits = tf.matmul(x, rows, transpose_b=True) if x.shape[0] == 1 else tf.matmul(x, columns)  # B V
            return tf.cast(logits, tf.float32), state, weights

        return read

    def call(
        self, words: tf.Tensor, values: tf.Tensor, mask: tf.Tensor, training: bool = False
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Read the words of a translation, each with a look at the source.

        Args:
            words: int32 [B, T], beginning with START.
            values: [B, S, 2U], from the encoder.
            mask: bool [B, S] of the source.
            training: whether dropout acts.

        Returns:
            logits float32 [B, T, V], where position t predicts word t + 1; attention weights float32 [B, T, S].
        """
        memory, state = self.remember(values, mask)
        embedded = self.dropout(tf.cast(self.embedding(words), self.compute_dtype), training=training)  # B T E
        states, contexts, weights = tf.scan(
            lambda before, word: self.step(word, before[0], memory),
            tf.transpose(self.word_gates(embedded), [1, 0, 2]),  # T B 3D
            initializer=(state, tf.zeros_like(values[:, 0]), tf.zeros_like(mask, tf.float32)),
        )  # T B D, T B 2U, T B S
        states, contexts, weights = (tf.transpose(x, [1, 0, 2]) for x in (states, contexts, weights))  # B T *
        x = self.summary(embedded, states, contexts, training)  # B T E
        return tf.cast(tf.tensordot(x, tf.transpose(self.output_table()), 1), tf.float32), weights
