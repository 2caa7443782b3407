# %% [markdown]
# # Image captioning: the model
#
# *Show, attend and tell* (Xu et al. 2015, arXiv:1502.03044): an LSTM generates a caption word by word and attends to
# the image for each word. Its hidden state $h$ and cell state $c$ start from the mean image feature $g$:
#
# $$u_m = \mathrm{relu}(W_u x_m) \qquad g = \frac{1}{M} \sum_m u_m \qquad [h_0, c_0] = \tanh(W_0 g) \qquad
#   h_t, c_t = \mathrm{LSTM}(E y_{t-1}, h_{t-1}, c_{t-1})$$
#
# $x_m$ are the content features of the image (see `feature_grids.py`). Attention gives weights $\alpha_{tl}$ and a
# context $z_t$ (see `attention.py`). The **deep output layer** (equation 7) combines hidden state, image and previous
# word. A scalar gate $\beta_t$ scales the image (section 4.2.1): *of* in *a couple of* needs no image.
#
# $$\beta_t = \sigma(w_\beta^\top h_t) \qquad
#   p(y_t) = \mathrm{softmax}(L_o \tanh(L_h h_t + \beta_t (L_z z_t + L_g g) + L_y E y_{t-1}))$$
#
# Deviations. Attention and gate use $h_t$ (attention: Lu et al. 2017, arXiv:1612.01887), in the paper $h_{t-1}$.
# The context does not enter the LSTM. So the LSTM runs over all words first, and attention is computed for all at once.
# The relu of $u_m$ and a mean feature for every word are from Lu et al. too. Here $L_g g$ enters the output layer,
# where $\beta_t$ scales it as well. As $g$ describes the whole image, attention is free to select one object.
# $L_y$ is new; the tanh, which keeps the sum bounded, is in the authors' code. Biases are omitted. Letters in shape
# comments: B captions, T words, L cells with C channels, M with D, A attention, E embedding, U units, V vocabulary.

# %%
"""Step 3: the captioner, its loss, and the training and test step."""

import keras
import tensorflow as tf

from common.nn.dropout import Dropout
from common.nn.gradients import apply_gradients
from common.nn.losses import masked_mean, smoothed_cross_entropy
from common.nn.recurrent import LSTM
from common.nn.replicas import batch_mean
from common.nn.token_dropout import TokenDropout
from examples.image_captioning.attention import EncoderOutput, GridAttention
from examples.image_captioning.vocabulary import UNKNOWN

State = list[tf.Tensor]  # hidden state h and cell state c of the LSTM, each B U
Batch = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]  # images B ..., inputs, targets and mask B T


# %%
class DeepOutput(keras.layers.Layer):
    """Map hidden state, gated image and previous word to logits (Xu et al. 2015, equation 7)."""

    def __init__(self, vocabulary_size: int, units: int, dropout: float, gate_units: int = 1):
        """Create the layers; the gate has 1 unit as in the paper, or U."""
        super().__init__()
        self.gate = keras.layers.Dense(gate_units, activation="sigmoid", name="gate")  # w_beta
        self.hidden_projection = keras.layers.Dense(units, use_bias=False, name="hidden_projection")  # L_h
        self.context_projection = keras.layers.Dense(units, use_bias=False, name="context_projection")  # L_z
        self.mean_projection = keras.layers.Dense(units, use_bias=False, name="mean_projection")  # L_g
        self.word_projection = keras.layers.Dense(units, name="word_projection")  # L_y
        small = keras.initializers.VarianceScaling(0.1, "fan_in")  # the loss of the untrained model is close to ln V
        self.logits = keras.layers.Dense(vocabulary_size, kernel_initializer=small, name="logits")  # L_o
        self.dropout = Dropout(dropout)

    def call(self, hidden, context, mean_feature, embedded, training: bool = False) -> tf.Tensor:
        """Return logits float32 [B, T, V] for h_t [B, T, U], z_t [B, T, C+U], g [B, U] and E y_{t-1} [B, T, E]."""
        image_term = self.context_projection(context) + self.mean_projection(mean_feature)[:, None]  # B T U
        beta = self.gate(hidden)  # B T 1, or B T U
        x = tf.tanh(self.hidden_projection(hidden) + beta * image_term + self.word_projection(embedded))  # B T U
        return tf.cast(self.logits(self.dropout(x, training=training)), tf.float32)  # B T V


# %% [markdown]
# The **loss** is the cross-entropy of the $N$ words of the batch. Xu et al. add the doubly stochastic term to it
# (equation 14), which pushes the total attention on each cell towards 1. It is off by default ($\lambda = 0$).
#
# $$\mathcal{L} = -\frac{1}{N} \sum_t \ln p(y_t) + \lambda \sum_l \left(1 - \sum_t \alpha_{tl}\right)^2$$
#
# Deviations: the first term is a mean over words (in the paper a sum), with label smoothing (Szegedy et al. 2016); the
# second is a mean over captions. The input words are the correct previous ones (*teacher forcing*).


# %%
def doubly_stochastic_loss(weights: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Return the mean over the captions of sum_l (1 - sum_t alpha_tl)^2, for weights [B, T, L] and mask [B, T]."""
    totals = tf.reduce_sum(weights * tf.cast(mask, weights.dtype)[..., None], axis=1)  # B L
    return batch_mean(tf.reduce_sum((1 - totals) ** 2, axis=-1))


class Captioner(keras.Model):
    """Generate captions by an LSTM with attention over the image (Xu et al. 2015, Lu et al. 2017)."""

    def __init__(
        self, vocabulary_size: int, image_encoder: keras.layers.Layer, embedding_dim: int, units: int,
        attention_units: int, dropout: float = 0.0, input_dropout: float = 0.0, word_dropout: float = 0.0,
        label_smoothing: float = 0.0, doubly_stochastic_weight: float = 0.0, gate_units: int = 1,
    ):  # fmt: skip
        """Create the layers for the settings of `Config`; `image_encoder` returns location and content features."""
        super().__init__(autocast=False)  # keeps stored features in float16
        self.label_smoothing, self.doubly_stochastic_weight = label_smoothing, doubly_stochastic_weight
        self.image_encoder = image_encoder
        self.attention = GridAttention(attention_units)
        self.value_projection = keras.layers.Dense(units, activation="relu", name="value_projection")  # W_u
        self.initial_state = keras.layers.Dense(2 * units, activation="tanh", name="initial_state")  # W_0
        unit_normal = keras.initializers.RandomNormal(stddev=1.0)
        self.embedding = keras.layers.Embedding(vocabulary_size, embedding_dim, unit_normal)  # E
        self.lstm = LSTM(units, return_sequences=True)
        self.deep_output = DeepOutput(vocabulary_size, units, dropout, gate_units)
        self.token_dropout = TokenDropout(word_dropout, UNKNOWN)
        self.input_dropout = Dropout(input_dropout)
        self.mean_loss = keras.metrics.Mean(name="loss")

    def encode(self, images: tf.Tensor, training: bool = False) -> tuple[EncoderOutput, State]:
        """Return the encoded images and the initial state h_0, c_0."""
        location_features, content_features = self.image_encoder(images)  # B L C, B M D
        values = self.value_projection(content_features)  # B M U
        mean_feature = self.input_dropout(tf.reduce_mean(values, axis=1), training=training)  # B U
        keys = self.attention.key_projection(location_features)  # B L A
        state = tf.split(self.initial_state(mean_feature), 2, axis=-1)  # B U, B U
        return EncoderOutput(location_features, values, keys, mean_feature), state

    def embed(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return word vectors E y_{t-1} [B, T, E] of ids int32 [B, T]; in training with word dropout and dropout."""
        inputs = self.token_dropout(inputs, training=training)  # B T
        return self.input_dropout(self.embedding(inputs), training=training)  # B T E

    def attend(self, hidden: tf.Tensor, image: EncoderOutput, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the context z_t [B, T, C+U] and the attention weights [B, T, L] for h_t [B, T, U]."""
        *context, weights = self.attention(hidden, image)
        context = [self.input_dropout(part, training=training) for part in context]  # B T C, B T U
        return tf.concat(context, axis=-1), weights

    def call(self, images: tf.Tensor, inputs: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the logits [B, T, V] after each of `inputs`, int32 [B, T], and the attention weights [B, T, L]."""
        image, state = self.encode(images, training)  # h_0, c_0
        embedded = self.embed(inputs, training)  # B T E
        hidden = self.lstm(embedded, initial_state=state, training=training)  # B T U
        context, weights = self.attend(hidden, image, training)  # B T C+U, B T L
        return self.deep_output(hidden, context, image.mean_feature, embedded, training=training), weights

    def decode_step(self, ids: tf.Tensor, state: State, image: EncoderOutput) -> tuple[tf.Tensor, State, tf.Tensor]:
        """Return logits [B, V], new state and attention weights [B, L] for ids int32 [B]: `call` for one word."""
        embedded = self.embedding(ids)  # B E
        hidden, state = self.lstm.cell(embedded, state)  # B U
        context, weights = self.attend(hidden[:, None], image)  # B 1 C+U, B 1 L
        logits = self.deep_output(hidden[:, None], context, image.mean_feature, embedded[:, None])  # B 1 V
        return logits[:, 0], [*state], weights[:, 0]

    def train_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Run one training step; return the mean negative log-likelihood of the batch."""
        images, inputs, targets, mask = batch
        with tf.GradientTape() as tape:
            logits, weights = self(images, inputs, training=True)
            cross_entropy, nll = smoothed_cross_entropy(logits, targets, self.label_smoothing)  # B T
            loss = masked_mean(cross_entropy, mask)
            loss += self.doubly_stochastic_weight * doubly_stochastic_loss(weights, mask)
        apply_gradients(self.optimizer, tape, loss, self.trainable_variables)
        nll = masked_mean(nll, mask)
        self.mean_loss.update_state(nll)
        return {"loss": nll}

    def test_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Evaluate one batch; return the mean over all words since the metric was reset."""
        images, inputs, targets, mask = batch
        logits, _ = self(images, inputs)
        _, nll = smoothed_cross_entropy(logits, targets, 0.0)  # B T
        self.mean_loss.update_state(tf.boolean_mask(nll, mask))  # sample_weight would first average each row
        return {"loss": self.mean_loss.result()}
