# %% [markdown]
# # Image captioning: the model
#
# The **decoder** is a recurrent network that reads the words said so far and keeps them in a state $h_t$. Before it
# says the next word, it asks a question of every cell of a grid over the photo, and looks where the answer is best:
#
# $$\alpha_t = \mathrm{softmax}_l\left(w^\top \tanh(K v_l + Q h_t)\right) \qquad
#   z_t = \sum_l \alpha_{tl}\, [v_l, u_{m(l)}]$$
#
# $v_l$ says *where* something is, and $x_m$, on a grid that may be coarser, *what* is there (see `encoder.py`), of
# which $u_m = \mathrm{relu}(U x_m)$ is what counts for words; $m(l)$ is the coarse cell that has cell $l$ in it, and
# $\alpha_{tl}$ is the **attention** that cell $l$ gets for word $t$ (Bahdanau et al. 2014). A **gate** $\beta_t =
# \sigma(b^\top h_t)$, one number, says how much the photo matters for this word: not at all for the *of* in *a couple
# of*. The word comes from what was looked at, from a first impression of the whole photo, $g = \frac{1}{M} \sum_m
# u_m$, from the state, and from the word before:
#
# $$p(y_t) = \mathrm{softmax}(W_o \tanh(W_h h_t + \beta_t W_z [z_t, g] + W_e y_{t-1}))$$
#
# This is Xu et al. 2015, *Show, attend and tell*, with two changes. They choose where to look *before* the word
# $y_{t-1}$ is read, and feed what was seen back into the recurrence. Here the word is read first, as in Lu et al. 2017,
# so that the question knows what has just been said; and in training, all words of a caption look at the photo at once.
# And since $g$ tells what the photo is about, attention is free to look at one thing.
#
# Letters in shape comments: B captions side by side, T words, L cells, M coarse cells, C and D channels, A attention,
# E embedding, U units, V vocabulary.

# %%
"""Step 3: the captioner, its losses, and one step of training and of testing, with the tape in plain sight."""

import keras
import tensorflow as tf

from common.nn.recurrent import LSTM

# %% tags=["module"]
from examples.image_captioning.attention import Attention, Seen
from examples.image_captioning.data import END, SPECIAL, UNKNOWN
from examples.image_captioning.encoder import Encoder
from examples.image_captioning.eyes import FrozenEyes, TinyEyes

# %%
Memory = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]
"""What there is to look at: where [B, L, C], what [B, M, U], keys [B, L, A], and a first impression of it all [B, U]"""

State = list[tf.Tensor]
"""Of the LSTM: what it shows and what it keeps to itself, both [B, U]"""

Batch = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]
"""source float16 [B, L C + M D] or uint8 [B, S, S, 3], inputs int32 [B, T], targets int32 [B, T], mask bool [B, T]"""

# %% [markdown]
# ## Step 3: define the model by subclassing


# %%
class Captioner(keras.Model):
    """Eyes, an LSTM that reads the words, attention, and the deep output layer of Xu et al. 2015, equation 7."""

    def __init__(
        self,
        vocabulary_size: int,
        encoder: Encoder,
        embedding_dim: int,
        units: int,
        attention_units: int,
        dropout: float = 0.0,
        input_dropout: float = 0.0,
        word_dropout: float = 0.0,
        gate: str = "scalar",
        remind: bool = False,
    ):
        """Lay out the layers; the arguments are the settings of the same names.

        Args:
            vocabulary_size: V.
            encoder: what the photos went through; decides the eyes.
            embedding_dim: E.
            units: U.
            attention_units: A.
            dropout: before the words.
            input_dropout: of word vectors and of all that was seen.
            word_dropout: of whole words that are read, for which <unk> is read instead.
            gate: "none", "scalar", one for all units, or "vector", one for each.
            remind: whether the recurrence gets the first impression with every word.
        """
        super().__init__()
        tiny = encoder.network is None
        self.eyes = TinyEyes(encoder.image_size) if tiny else FrozenEyes(*encoder.grids)
        self.attention = Attention(attention_units)
        self.value = keras.layers.Dense(units, activation="relu", name="value")
        self.initial = keras.layers.Dense(2 * units, activation="tanh", name="initial")
        self.embedding = keras.layers.Embedding(
            vocabulary_size, embedding_dim, embeddings_initializer=keras.initializers.RandomNormal(stddev=1.0)
        )
        self.reader = LSTM(units, return_sequences=True)
        self.gate = None
        if gate != "none":
            self.gate = keras.layers.Dense(units if gate == "vector" else 1, activation="sigmoid")
        self.from_state = keras.layers.Dense(units, use_bias=False)
        self.from_seen = keras.layers.Dense(units, use_bias=False)
        self.from_overview = keras.layers.Dense(units, use_bias=False)
        self.from_word = keras.layers.Dense(units)
        small = keras.initializers.VarianceScaling(0.1, "fan_in")  # so that an untrained loss is close to ln V
        self.logits = keras.layers.Dense(vocabulary_size, kernel_initializer=small)
        self.dropout = keras.layers.Dropout(dropout)
        self.remind = remind
        self.word_dropout = keras.layers.Dropout(word_dropout)
        self.input_dropout = keras.layers.Dropout(input_dropout)

    def look(self, source: tf.Tensor, training: bool = False) -> tuple[Memory, State]:
        """Return what there is to look at, and the state before the first word."""
        where, what = self.eyes(source)  # B L C, B M D
        what = self.value(what)  # B M U
        overview = self.input_dropout(tf.reduce_mean(what, axis=1), training=training)  # B U
        return (where, what, self.attention.key(where), overview), tf.split(self.initial(overview), 2, axis=-1)

    def call(self, source: tf.Tensor, inputs: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Read whole captions.

        Args:
            source: see `Batch`.
            inputs: int32 [B, T], <start> and the words.
            training: whether dropout acts.

        Returns:
            logits float32 [B, T, V] of the word after each, and the attention float32 [B, T, L] that found it.
        """
        logits, weights, _ = self.read(source, inputs, training)
        return logits, weights

    def read(self, source: tf.Tensor, inputs: tf.Tensor, training: bool) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Do as `call`, and also return what the looking loss has to guess each word from, [B, T, C + E]."""
        (*memory, overview), state = self.look(source, training)
        heard = self.word_dropout(tf.ones(tf.shape(inputs)), training=training) > 0  # B T; the rest the photo must tell
        inputs = tf.where(heard, inputs, UNKNOWN)  # B T
        words = self.input_dropout(self.embedding(inputs), training=training)  # B T E
        told = self.tell(words, overview[:, None])  # B T E or E+U
        states = self.reader(told, initial_state=state, training=training)  # B T U
        seen, weights = self.attention(states, *memory)  # B T L
        seen = tuple(self.input_dropout(part, training=training) for part in seen)
        return self.say(words, states, seen, overview, training), weights, tf.concat([seen[0], words], axis=-1)

    def next_word(self, ids: tf.Tensor, state: State, memory: Memory) -> tuple[tf.Tensor, State, tf.Tensor]:
        """Read one word a row: the same as `call` on captions of one word, for `common.nn.sampling.beam_search`.

        Args:
            ids: int32 [B].
            state: as from `look`.
            memory: as from `look`.

        Returns:
            logits float32 [B, V], minus infinity for what is no word and not <end>; the new state; attention [B, L].
        """
        *memory, overview = memory
        words = self.embedding(ids)  # B E
        shown, state = self.reader.cell(self.tell(words, overview), state)  # B U
        seen, weights = self.attention(shown[:, None], *memory)  # B 1 L
        logits = self.say(words[:, None], shown[:, None], seen, overview)  # B 1 V
        is_word = tf.range(tf.shape(logits)[-1]) >= len(SPECIAL)  # V
        is_end = tf.range(tf.shape(logits)[-1]) == END  # V
        return tf.where(is_word | is_end, logits[:, 0], -float("inf")), [*state], weights[:, 0]

    def tell(self, words: tf.Tensor, overview: tf.Tensor) -> tf.Tensor:
        """Return what the recurrence gets: words [B, ..., E], with `remind` each beside the overview [B, ..., U]."""
        if not self.remind:
            return words
        shape = tf.concat([tf.shape(words)[:-1], tf.shape(overview)[-1:]], axis=0)
        return tf.concat([words, tf.broadcast_to(overview, shape)], axis=-1)  # B ... E+U

    def say(
        self, words: tf.Tensor, states: tf.Tensor, seen: Seen, overview: tf.Tensor, training: bool = False
    ) -> tf.Tensor:
        """Map words [B, T, E], the states after them [B, T, U], what was seen and the overview to logits [B, T, V]."""
        photo = self.from_seen(tf.concat(seen, axis=-1)) + self.from_overview(overview)[:, None]  # B T U
        if self.gate is not None:
            photo *= self.gate(states)  # B T U
        mixed = tf.tanh(self.from_state(states) + photo + self.from_word(words))  # B T U
        return tf.cast(self.logits(self.dropout(mixed, training=training)), tf.float32)  # B T V, float32

    def build_weights(self, encoder: Encoder) -> "Captioner":
        """Create all variables, so that they can be restored or counted before the first batch; return self."""
        self(tf.zeros([1, *encoder.shape], encoder.dtype), tf.zeros([1, 1], tf.int32))
        return self


# %% [markdown]
# ## Step 4: train
#
# The main loss is **cross-entropy**: the surprise at each word that really came, in nats. Three things are added in
# training, each with a weight that may be 0:
#
# - **Label smoothing** gives a share of the target's probability to all words: other people would have said something
# else.
# - **The doubly stochastic penalty** of Xu et al. (equation 14) wants the attention that a cell gets over the whole
# caption to be 1: $\sum_l (1 - \sum_t \alpha_{tl})^2$. It makes the model look everywhere once, and so at nothing in
# particular.
# - **The looking loss** asks for each word to be guessed from the word before and from what was looked at *alone*, by
# the part of it that knows where things are, without the first impression of the whole. A drawn scene of two shapes can
# be described from that impression; where to look cannot be learned from it. Real photos are not that simple: with them
# attention points without this loss.


# %%
class TrainableCaptioner(Captioner):
    """The same network with its losses and the two steps that training is made of."""

    def __init__(
        self,
        vocabulary_size: int,
        encoder: Encoder,
        label_smoothing: float = 0.0,
        penalty: float = 0.0,
        looking: float = 0.0,
        **architecture,
    ):
        """Lay out the network and what only training needs; the arguments are the settings of the same names."""
        super().__init__(vocabulary_size, encoder, **architecture)
        self.label_smoothing, self.penalty, self.looking = label_smoothing, penalty, looking
        self.guess = keras.layers.Dense(vocabulary_size, name="guess") if looking else None
        self.mean_loss = keras.metrics.Mean(name="loss")

    def call(self, source: tf.Tensor, inputs: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Read whole captions, as `Captioner.call`; the first call also creates what only training needs."""
        logits, weights, evidence = self.read(source, inputs, training)
        if self.guess is not None and not self.guess.built:
            self.guess(evidence)
        return logits, weights

    def train_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Learn from one batch; return its loss, the mean of -ln p(word) in nats."""
        source, inputs, targets, mask = batch
        with tf.GradientTape() as tape:
            logits, weights, evidence = self.read(source, inputs, training=True)
            surprise, spread = cross_entropy(logits, targets)  # B T
            aim = masked_mean((1 - self.label_smoothing) * surprise + self.label_smoothing * spread, mask)
            aim += self.penalty * stochastic_penalty(weights, mask)
            if self.guess is not None:
                guesses = tf.cast(self.guess(evidence), tf.float32)  # B T V
                aim += self.looking * masked_mean(cross_entropy(guesses, targets)[0], mask)
            scaled = self.optimizer.scale_loss(aim)  # larger in float16, whose small gradients would be zero
        gradients = tape.gradient(scaled, self.trainable_variables)
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]  # sums the embedding's sparse rows
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        loss = masked_mean(surprise, mask)
        self.mean_loss.update_state(loss)  # which is what fit() shows
        return {"loss": loss}

    def test_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Measure one batch; return the running mean over all words since the metric was reset."""
        source, inputs, targets, mask = batch
        logits, _ = self(source, inputs)
        # Word by word: with weights instead, Keras averages each row first, and a wide batch would count for less.
        self.mean_loss.update_state(tf.boolean_mask(cross_entropy(logits, targets)[0], mask))
        return {"loss": self.mean_loss.result()}


def cross_entropy(logits: tf.Tensor, targets: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Return -ln p(target) in nats, and the mean of -ln p over all words, both float32 [B, T]."""
    normaliser = tf.reduce_logsumexp(logits, axis=-1)  # B T
    surprise = normaliser - tf.gather(logits, targets, batch_dims=2)  # B T
    return surprise, normaliser - tf.reduce_mean(logits, axis=-1)


def masked_mean(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Return the mean, a scalar, of `values` [B, T] where `mask` [B, T] is True; 0 if it is nowhere."""
    weights = tf.cast(mask, values.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(values * weights), tf.reduce_sum(weights))


def stochastic_penalty(weights: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Return the doubly stochastic penalty (Xu et al. 2015, equation 14), a scalar, the mean over the captions.

    Args:
        weights: attention, float32 [B, T, L].
        mask: bool [B, T], False on padding, which looks at nothing.
    """
    received = tf.reduce_sum(weights * tf.cast(mask, weights.dtype)[..., None], axis=1)  # B L
    return tf.reduce_mean(tf.reduce_sum((1 - received) ** 2, axis=-1))
