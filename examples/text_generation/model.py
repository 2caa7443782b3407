# %% [markdown]
# # Text generation: the model
#
# A **recurrent language model** processes a text one character at a time. At each step it updates a **hidden state**
# $h_t$ from $h_{t-1}$ and the embedding $E x_t$ of the character. From $h_t$ it predicts the next character:
#
# $$h_t = \mathrm{GRU}(E x_t,\ h_{t-1}) \qquad p(x_{t+1} \mid x_{\le t}) = \mathrm{softmax}(W h_t + b)$$
#
# The **GRU** (Cho et al. 2014, arXiv:1406.1078, section 2.3) has two gates with values from 0 to 1. The update gate
# $z_t$ mixes the previous state with a candidate $\tilde h_t$, in which the reset gate $r_t$ scales the previous state:
#
# $$r_t = \sigma(W_r E x_t + U_r h_{t-1}) \qquad \tilde h_t = \tanh\big(W_h E x_t + r_t \odot (U_h h_{t-1})\big)$$
# $$z_t = \sigma(W_z E x_t + U_z h_{t-1}) \qquad h_t = z_t \odot h_{t-1} + (1 - z_t) \odot \tilde h_t$$
#
# Biases are omitted. Deviation: as in cuDNN, $r_t$ is applied after the product with $U_h$; in the paper, before it.
# Letters in shape comments: B batch (text streams), T time (characters), U units, V vocabulary.

# %%
"""Step 3: the character RNN, its loss, and one step of training and of testing."""

from collections.abc import Callable

import keras
import tensorflow as tf

from common.nn.carried_state import CarriedState
from common.nn.gradients import apply_gradients
from common.nn.losses import masked_mean
from common.nn.recurrent_stack import Cell, RecurrentStack

State = list[list[tf.Tensor]]  # for each recurrent layer its state tensors, each B U: h of a GRU; h and c of an LSTM
Batch = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]  # inputs, targets, mask B T; is_start: set the state to zero

# %% [markdown]
# ## The network
#
# The embedding starts as N(0, 1). With Keras' default of ±0.05, all embeddings are nearly equal, and the gates cannot
# tell characters apart at first. The output layer starts small. So all characters are nearly equally likely at first,
# and the loss of the untrained model is close to $\ln V$: 4.17 for Shakespeare's 65 characters.


# %%
class CharRNN(keras.Model):
    """Embedding, GRU or LSTM layers with dropout, logits."""

    def __init__(self, vocabulary_size: int, embedding_dim: int, units: int, layers=1, cell: Cell = "gru", dropout=0.0):
        """Create the layers; the arguments are the settings of the same names."""
        super().__init__()
        unit_normal = keras.initializers.RandomNormal(stddev=1.0)
        self.embedding = keras.layers.Embedding(vocabulary_size, embedding_dim, embeddings_initializer=unit_normal)
        self.rnn = RecurrentStack(units, layers, cell, dropout)
        small = keras.initializers.VarianceScaling(0.5, "fan_in")
        self.logits = keras.layers.Dense(vocabulary_size, kernel_initializer=small, dtype="float32", name="logits")

    def call(self, ids: tf.Tensor, state: State, training: bool = False) -> tuple[tf.Tensor, State]:
        """Return the logits float32 [B, T, V] of the next characters, and the state after the last one of `ids`.

        Args:
            ids: int32 [B, T].
            state: the state before the first character, from `initial_state` or an earlier call.
            training: whether dropout is applied.
        """
        hidden, state = self.rnn(ids, state, embedding=self.embedding, training=training)  # looks up E x_t; B T U
        return self.logits(hidden), state  # B T V

    def make_decode_step(self) -> Callable[[tf.Tensor, State], tuple[tf.Tensor, State]]:
        """Return `decode_step(ids [B], state) -> (logits [B, V], state)`, for `call` with one character."""
        rnn_step = self.rnn.make_decode_step(self.embedding)

        def decode_step(ids: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
            hidden, state = rnn_step(ids, state)  # B U
            return self.logits(hidden), state  # B V

        return decode_step

    def initial_state(self, batch_size: int | tf.Tensor) -> State:
        """Return the state before the first character: zeros."""
        return self.rnn.initial_state(batch_size)

    def build_weights(self) -> "CharRNN":
        """Create all weights, so that they can be restored or counted before the first batch; return the model."""
        self.embedding.build([None, None])
        self.rnn.build([None, None, self.embedding.output_dim])
        self(tf.zeros([1, 1], tf.int32), self.initial_state(1))
        return self


# %% [markdown]
# The loss is the **cross-entropy**: the negative log-likelihood (nll) $-\ln p(x_{t+1})$ of the next character, in nats,
# averaged over all $N$ characters: $L = -\frac1N \sum_t \ln p(x_{t+1} \mid x_{\le t})$. Divided by $\ln 2$ it is in
# bits. $e$ to the loss in nats is the *perplexity*.


# %%
def cross_entropy(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Return the nll -ln p(target) in nats, float32 [B, T], from logits [B, T, V] and targets int32 [B, T]."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)


# %% [markdown]
# ## The training step
#
# Each batch continues the texts of the previous one, so it starts from the state in which that one ended.
# `CarriedState` stores the state as plain values, so no gradient flows into the previous batch (*truncated
# back-propagation through time*).


# %%
class TrainableCharRNN(CharRNN):
    """The same network, with the state carried between batches and the steps of training and testing."""

    def __init__(self, vocabulary_size: int, train_streams: int, test_streams: int, **architecture):
        """Create the layers and the carried states, of B = `train_streams` and B = `test_streams` rows."""
        super().__init__(vocabulary_size, **architecture)
        self.train_state = CarriedState(self.initial_state(train_streams), name="train_state")
        self.test_state = CarriedState(self.initial_state(test_streams), name="test_state")
        self.mean_loss = keras.metrics.Mean(name="loss")

    def train_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Run one training step; return the batch loss in nats per character."""
        inputs, targets, mask, is_start = batch
        state = self.train_state.read(reset=is_start)
        with tf.GradientTape() as tape:
            logits, state = self(inputs, state, training=True)  # B T V
            loss = masked_mean(cross_entropy(logits, targets), mask)
        apply_gradients(self.optimizer, tape, loss, self.trainable_variables)
        self.train_state.write(state)
        self.mean_loss.update_state(loss)  # for Keras' fit; Trainer averages what is returned
        return {"loss": loss}

    def test_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Run one test step; return the mean loss of all characters since the metric was reset."""
        inputs, targets, mask, is_start = batch
        logits, state = self(inputs, self.test_state.read(reset=is_start))  # B T V
        self.test_state.write(state)
        self.mean_loss.update_state(cross_entropy(logits, targets), sample_weight=mask)  # exact: batches have one T
        return {"loss": self.mean_loss.result()}
