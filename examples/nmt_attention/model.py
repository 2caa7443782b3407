# %% [markdown]
# # Translation: the model
#
# Sections and equations are those of Bahdanau et al. 2015 (arXiv:1409.0473). As there, the formulas omit biases.

# %%
"""Step 3: encoder, decoder with attention, and the translator with its loss and its training step.

Shapes: B batch, S source, T target, E embedding, U encoder units, D decoder units, A attention units, V vocabulary.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from common.nn.attention_gru import AttentionGRUCell, AttentionMemory
from common.nn.dropout import Dropout
from common.nn.embedding import unit_normal_embedding
from common.nn.gradients import apply_gradients
from common.nn.losses import masked_mean, smoothed_cross_entropy
from common.nn.recurrent import GRU
from common.nn.scan import scan_time
from common.nn.tied_logits import TiedLogits
from examples.nmt_attention.attention import BahdanauAttention
from examples.nmt_attention.preprocess.tokenizer import PAD, START

# %% [markdown]
# ## Encoder
#
# The encoder is a bidirectional GRU (section 3.2). For each source word it computes an *annotation*, the concatenated
# states of both directions: $h_j = [\overrightarrow{h}_j; \overleftarrow{h}_j]$.


# %%
class Encoder(keras.layers.Layer):
    """Embedding, dropout and bidirectional GRU (A.2.1); its gates deviate as those of `AttentionGRUCell`."""

    def __init__(self, vocabulary_size: int, embedding_dim: int, units: int, dropout: float, gru: type = GRU):
        """Create the layers; `units` is U; `gru` is the class of both recurrent layers, `GRU` or `LSTM`."""
        super().__init__(name="encoder")
        self.embedding = unit_normal_embedding(vocabulary_size, embedding_dim, name="source_embedding")
        self.dropout = Dropout(dropout)
        self.forward_gru = gru(units, return_sequences=True, name="forward_gru")
        self.backward_gru = gru(units, return_sequences=True, go_backwards=True, name="backward_gru")

    def call(self, source: tf.Tensor, mask: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return the annotations h_j, [B, S, 2U], of source ids int32 [B, S] and their mask, bool [B, S]."""
        x = self.dropout(self.embedding(source), training=training)  # B S E
        forward = self.forward_gru(x, mask=mask, training=training)  # B S U
        backward = self.backward_gru(x, mask=mask, training=training)  # B S U, the last word first
        return tf.concat([forward, tf.reverse(backward, axis=[1])], axis=-1)  # B S 2U


# %% [markdown]
# ## Decoder
#
# At step $t$ the decoder knows its state $s_{t-1}$ and the word $y_{t-1}$ that it wrote last. Both together are the
# *query* $q_t$ of the attention. Then the GRU computes $s_t$, and the output layer $p(y_t)$:
#
# $$s_0 = \tanh(W_s \bar h) \qquad q_t = [s_{t-1}; E y_{t-1}] \qquad
#   c_t, \alpha_t = \mathrm{attention}(q_t, h) \qquad s_t = \mathrm{GRU}([E y_{t-1}; c_t],\ s_{t-1}) \qquad
#   p(y_t) = \mathrm{softmax}(E^\top R\,[E y_{t-1}; s_t; c_t] / \sqrt m)$$
#
# Deviations from A.2.2. There $q_t = s_{t-1}$, without $y_{t-1}$. In Nematus (Sennrich et al. 2017, arXiv:1703.04357)
# another GRU reads $y_{t-1}$ before the attention. $s_0$ comes from the mean annotation $\bar h$, not the first
# backward state. The deep output is linear, without maxout; $R = [V_o, U_o, C_o]$. It reads $s_t$ (equation 4; in A.2.2
# $s_{t-1}$). For $W_o$ stands $E^\top$, with width $m$ (Press and Wolf 2017, arXiv:1608.05859).


# %%
class Decoder(keras.layers.Layer):
    """GRU with attention, linear deep output and tied logits (after A.2.2; gates: see `AttentionGRUCell`)."""

    def __init__(self, vocabulary_size: int, embedding_dim: int, units: int, attention_units: int, dropout: float):
        """Create the layers; `units` is D, the width of the state."""
        super().__init__(name="decoder")
        self.embedding = unit_normal_embedding(vocabulary_size, embedding_dim, name="target_embedding")  # E
        self.dropout = Dropout(dropout)
        self.state_projection = keras.layers.Dense(units, activation="tanh", name="state_projection")  # W_s
        self.attention = BahdanauAttention(attention_units, name="attention")
        self.gru_cell = AttentionGRUCell(units)
        small = keras.initializers.VarianceScaling(0.25, "fan_in")  # the first loss is close to ln V
        self.readout = keras.layers.Dense(embedding_dim, kernel_initializer=small, name="readout")  # R
        self.output_logits = TiedLogits(self.embedding, name="output_logits")

    def initial_state(self, values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
        """Return the state s_0, [B, D], for the annotations [B, S, 2U] and their mask, bool [B, S]."""
        weights = tf.cast(mask, values.dtype)[..., None]  # B S 1
        mean = tf.reduce_sum(values * weights, axis=1) / tf.reduce_sum(weights, axis=1)  # B 2U
        return self.state_projection(mean)

    def prepare_attention(self, values: tf.Tensor, mask: tf.Tensor) -> AttentionMemory:
        """Project the annotations, the values of the attention, [B, S, 2U], once for all steps."""
        keys = self.attention.project_keys(values)  # B S A
        projected_values = self.gru_cell.project_context(values)  # B S 3D
        return AttentionMemory(values, keys, projected_values, mask)

    def next_state(self, x: tf.Tensor, projected_x: tf.Tensor, state: tf.Tensor, memory: AttentionMemory) -> tuple:
        """Return s_t [B, D], c_t [B, 2U] and weights [B, S]; `x` is E y_{t-1}, [B, E], `projected_x` is x W."""
        query = tf.concat([state, x], axis=-1)  # B D+E
        context, weights = self.attention(query, memory.keys, memory.values, memory.mask)
        return self.gru_cell(projected_x, weights, memory.projected_values, state), context, weights  # B D, B 2U, B S

    def call(self, inputs: tf.Tensor, values: tf.Tensor, mask: tf.Tensor, training: bool = False) -> tuple:
        """Return logits float32 [B, T, V] and weights float32 [B, T, S] of inputs [B, T] and annotations."""
        embedded = self.dropout(self.embedding(inputs), training=training)  # B T E
        memory = self.prepare_attention(values, mask)
        states, contexts, weights = scan_time(
            lambda step_inputs, state: self.next_state(*step_inputs, state, memory),
            (embedded, self.gru_cell.project_inputs(embedded)),  # B T E, B T 3D
            self.initial_state(values, mask),  # B D
            outputs_like=(values[:, 0], tf.cast(mask, tf.float32)),  # B 2U, B S
        )
        x = self.readout(tf.concat([embedded, states, contexts], axis=-1))  # B T E
        return self.output_logits(self.dropout(x, training=training)), weights  # B T V, B T S

    def make_decode_step(self) -> Callable[[tf.Tensor, tf.Tensor, AttentionMemory], tuple[tf.Tensor, ...]]:
        """Return `decode_step`, one step of `call` without dropout; call this once, before the loop over steps."""
        output_logits = self.output_logits.make_step()

        def decode_step(ids: tf.Tensor, state: tf.Tensor, memory: AttentionMemory) -> tuple[tf.Tensor, ...]:
            """Return the logits float32 [B, V], s_t [B, D] and the weights float32 [B, S] of ids int32 [B]."""
            embedded = self.embedding(ids)  # B E
            state, context, weights = self.next_state(embedded, self.gru_cell.project_inputs(embedded), state, memory)
            x = self.readout(tf.concat([embedded, state, context], axis=-1))  # B E
            return output_logits(x), state, weights

        return decode_step


# %% [markdown]
# ## Translator
#
# In training the decoder receives the correct previous words (*teacher forcing*). The loss is the cross-entropy with
# label smoothing $\epsilon$ (Szegedy et al. 2016, arXiv:1512.00567), over the $N$ target words without padding:
#
# $$L = \frac{1}{N} \sum_t \Big[(1 - \epsilon)\,(-\ln p(y_t)) + \epsilon\, \frac{1}{V} \sum_v (-\ln p(y_t = v))\Big]$$


# %%
class Translator(keras.Model):
    """Encoder and decoder, trained on batches of source int32 [B, S] and targets int32 [B, T], padded with PAD."""

    def __init__(
        self, source_size: int, target_size: int, embedding_dim: int, encoder_units: int, decoder_units: int,
        attention_units: int, dropout: float = 0.0, label_smoothing: float = 0.0, encoder_gru: type = GRU,
    ):  # fmt: skip
        """Create both parts; `source_size` and `target_size` are vocabulary sizes, for the others see `Config`."""
        super().__init__()
        self.encoder = Encoder(source_size, embedding_dim, encoder_units, dropout, encoder_gru)
        self.decoder = Decoder(target_size, embedding_dim, decoder_units, attention_units, dropout)
        self.label_smoothing = label_smoothing
        self.mean_loss = keras.metrics.Mean(name="loss")
        self.mean_accuracy = keras.metrics.Mean(name="accuracy")

    def build_weights(self) -> "Translator":
        """Create all variables, so that they can be counted or restored before the first batch; return self."""
        self(tf.ones([1, 1], tf.int32), tf.ones([1, 1], tf.int32))
        return self

    def call(self, source: tf.Tensor, inputs: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the logits float32 [B, T, V] and the attention weights float32 [B, T, S]."""
        mask = source != PAD  # B S
        values = self.encoder(source, mask, training=training)  # B S 2U
        return self.decoder(inputs, values, mask, training=training)

    def train_step(self, batch: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Run one training step; return the batch loss without label smoothing, in nats per token."""
        source, targets = batch
        mask = targets != PAD  # B T
        with tf.GradientTape() as tape:
            logits, _ = self(source, shift_right(targets), training=True)
            smoothed, nll = smoothed_cross_entropy(logits, targets, self.label_smoothing)  # B T
            smoothed_loss = masked_mean(smoothed, mask)
        apply_gradients(self.optimizer, tape, smoothed_loss, self.trainable_variables)
        loss = masked_mean(nll, mask)
        self.mean_loss.update_state(loss)
        return {"loss": loss}

    def test_step(self, batch: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Measure one batch; return the running means over all tokens since the metrics were reset."""
        source, targets = batch
        mask = targets != PAD  # B T
        logits, _ = self(source, shift_right(targets))
        _, nll = smoothed_cross_entropy(logits, targets, label_smoothing=0.0)
        self.mean_loss.update_state(nll[mask])  # not by sample_weight: Keras would average each row first
        self.mean_accuracy.update_state((tf.argmax(logits, axis=-1, output_type=tf.int32) == targets)[mask])
        return {"loss": self.mean_loss.result(), "accuracy": self.mean_accuracy.result()}


def shift_right(targets: tf.Tensor) -> tf.Tensor:
    """Return the decoder inputs [B, T]: START, then all targets but the last."""
    return tf.pad(targets[:, :-1], [[0, 0], [1, 0]], constant_values=START)
