# %% [markdown]
# # Translation: the model
#
# Three parts, each a subclass of its own:
#
# - the **encoder** reads the source sentence in both directions, so that the vector of each word knows what stands
#   before and after it ([encoder_decoder.py](encoder_decoder.py));
# - the **attention** decides, for each word to be written, where to look ([attention.py](attention.py));
# - the **decoder** writes the translation word by word. Its state $s$ is what it has written and where it stands.
#
# $$\alpha_t, c_t = \mathrm{attention}(s_{t-1}, h) \qquad s_t = \mathrm{GRU}([E y_{t-1}; c_t],\ s_{t-1}) \qquad
#   p(y_t) = \mathrm{softmax}\big(E R\,[E y_{t-1}; s_t; c_t]\big)$$
#
# Letters in shape comments: B batch, S source length, T target length, U encoder units a direction, V vocabulary of the
# target, K hypotheses.

# %%
"""Step 3: the translator, its loss, and one step of training and of testing, with the tape in plain sight."""

import keras
import tensorflow as tf

from common.nn.beam_search import Hypotheses, beam_search

# %% tags=["module"]
from examples.nmt_attention.encoder_decoder import Decoder, Encoder
from examples.nmt_attention.text import END, PAD, START

# %% [markdown]
# ## Step 3: define the model by subclassing

# %%
Batch = tuple[tf.Tensor, tf.Tensor]
"""source int32 [B, S] and target int32 [B, T], both padded with PAD on the right; the target ends with END"""


class Translator(keras.Model):
    """Encoder and decoder, and the two steps that training is made of."""

    def __init__(
        self,
        source_size: int,
        target_size: int,
        embedding_dim: int,
        encoder_units: int,
        decoder_units: int,
        attention_units: int,
        dropout: float = 0.0,
        label_smoothing: float = 0.0,
        plain_gru: bool = False,
    ):
        """Lay out the two parts; sizes are those of the vocabularies, the others settings of the same names."""
        super().__init__()
        self.encoder = Encoder(source_size, embedding_dim, encoder_units, dropout, plain_gru)
        self.decoder = Decoder(target_size, embedding_dim, decoder_units, attention_units, dropout)
        self.label_smoothing = label_smoothing
        self.mean_loss = keras.metrics.Mean(name="loss")
        self.mean_accuracy = keras.metrics.Mean(name="accuracy")

    def call(self, source: tf.Tensor, words: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Return logits [B, T, V] and attention weights [B, T, S] for source [B, S] and words [B, T] from START on."""
        mask = source != PAD  # B S
        values = self.encoder(source, mask, training=training)  # B S 2U
        return self.decoder(words, values, mask, training=training)

    def build_weights(self) -> "Translator":
        """Create all variables, so that they can be restored or counted before the first batch; return self."""
        self(tf.ones([1, 1], tf.int32), tf.ones([1, 1], tf.int32))
        return self

    def translate(self, source: tf.Tensor, beam: int = 1, length_penalty: tf.Tensor | float = 1.0) -> Hypotheses:
        """Search for the best translations of source int32 [B, S]; call it inside a `tf.function`.

        Returns:
            for each row `beam` hypotheses, the best first, with the attention weights [B, K, T, S] of each. None is
            longer than twice its source and ten words more. See `beam_search`.
        """
        mask = source != PAD  # B S
        memory, state = self.decoder.remember(self.encoder(source, mask), mask)
        most = 2 * tf.reduce_sum(tf.cast(mask, tf.int32), axis=1) + 10  # B
        longest = tf.shape(source)[1]
        room = 2 * longest + 10, longest
        return beam_search(self.decoder.reader(), state, memory, START, END, most, room, beam, length_penalty)

    def train_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Learn from one batch; return its loss, the mean of -ln p(word) in nats."""
        source, target = batch
        mask = target != PAD  # B T
        with tf.GradientTape() as tape:
            logits, _ = self(source, words_before(target), training=True)
            surprise, spread = cross_entropy(logits, target)  # B T
            smoothed = (1 - self.label_smoothing) * surprise + self.label_smoothing * spread
            scaled_loss = self.optimizer.scale_loss(masked_mean(smoothed, mask))  # larger in float16
        gradients = tape.gradient(scaled_loss, self.trainable_variables)
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]  # sums the embedding's sparse rows
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        loss = masked_mean(surprise, mask)
        self.mean_loss.update_state(loss)  # which is what fit() shows
        return {"loss": loss}

    def test_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Measure one batch; return running means over all tokens since the metrics were reset."""
        source, target = batch
        mask = target != PAD  # B T
        logits, _ = self(source, words_before(target))
        surprise, _ = cross_entropy(logits, target)
        is_right = tf.argmax(logits, axis=-1, output_type=tf.int32) == target  # B T
        # Token by token: with weights instead, Keras averages each row first, and a wide batch would count for less.
        self.mean_loss.update_state(tf.boolean_mask(surprise, mask))
        self.mean_accuracy.update_state(tf.boolean_mask(is_right, mask))
        return {"loss": self.mean_loss.result(), "accuracy": self.mean_accuracy.result()}


# %% [markdown]
# ## Step 4: train
#
# `train_step`, above, is one step of training: the tape records the way from the batch to the loss, is asked for the
# gradient of the loss with respect to every weight, and the optimizer takes a step against it.
#
# The loss is cross-entropy over the words that are there, padding excluded by the mask, with **label smoothing**: a
# tenth of the target is spread over all words, so that the model is not driven to be certain (Szegedy et al. 2016). A
# model that is a little unsure gives beam search something to choose from. What is reported is always the plain
# cross-entropy, in nats a token.


# %%
def words_before(target: tf.Tensor) -> tf.Tensor:
    """Return what the decoder is fed to predict `target` [B, T]: START, then the target without its last word."""
    return tf.pad(target[:, :-1], [[0, 0], [1, 0]], constant_values=START)


def cross_entropy(logits: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return -ln p(target) in nats, and the mean of -ln p over all words, both float32 [B, T]."""
    flat = tf.reshape(logits, [-1, logits.shape[-1]])  # BT V
    places = tf.stack([tf.range(tf.size(target)), tf.reshape(target, [-1])], axis=1)  # BT 2
    normaliser = tf.reduce_logsumexp(flat, axis=-1)  # BT
    surprise = normaliser - tf.gather_nd(flat, places)  # BT
    spread = normaliser - tf.reduce_mean(flat, axis=-1)  # BT
    return tf.reshape(surprise, tf.shape(target)), tf.reshape(spread, tf.shape(target))


def masked_mean(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Return the mean, a scalar, of `values` [B, T] where `mask` [B, T] is True; 0 if it is nowhere."""
    weights = tf.cast(mask, values.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(values * weights), tf.reduce_sum(weights))
