# %% [markdown]
# # Text generation: the model
#
# A **recurrent language model** reads a text one character at a time. At each step it updates a state vector, its
# memory of everything read so far, and from the state it predicts the next character:
#
# $$h_t = \mathrm{GRU}(E[x_t],\ h_{t-1}) \qquad p(x_{t+1} \mid x_{\le t}) = \mathrm{softmax}(W h_t + b)$$
#
# The **GRU** (Cho et al. 2014, arXiv:1406.1078) decides with two gates, numbers from 0 to 1, what becomes of the
# memory: $r_t$, how much of it counts for the new proposal $\tilde h_t$, and $z_t$, how much of it stays as it is:
#
# $$\tilde h_t = \tanh\big(W_h E[x_t] + r_t \odot (U_h h_{t-1})\big) \qquad
#   h_t = z_t \odot h_{t-1} + (1 - z_t) \odot \tilde h_t$$
#
# Trained on Shakespeare, it learns spelling first, then words, then who speaks when, from nothing but the wish to be
# less surprised by the next character.
#
# Letters in shape comments: B batch (streams), T time (characters), E embedding, U units (state), V vocabulary.

# %%
"""Step 3: the character RNN, its loss, and one step of training and of testing, with the tape in plain sight."""

from collections.abc import Callable

import keras
import tensorflow as tf

from common.nn.recurrent import GRU, LSTM, Recurrent

State = list[list[tf.Tensor]]
"""For each recurrent layer its state tensors, each [B, U]: one for a GRU, two for an LSTM."""

Batch = tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]
"""inputs int32 [B, T], targets int32 [B, T], mask bool [B, T], is_start bool []"""

# %% [markdown]
# ## Step 3: define the model by subclassing
#
# Two choices of initial values decide how fast it learns:
#
# - **The embedding starts as N(0, 1)**, not in Keras' default range of ±0.05: characters that all look nearly alike to
#   the gates would first have to be grown apart.
# - **The output layer starts small**, so the untrained model predicts all characters nearly alike and its loss is close
#   to $\ln V$: about 4.19 for 65 characters, where $\ln 65 = 4.17$. If you see another number at step 0, something is
#   wrong before training began. It does not start at zero: measured, that sets learning back for hundreds of steps.
#
# `python -m benchmarks.initial_values` shows what each of them is worth.
#
# And two decide how fast a step is. GRU and LSTM are those of `common/nn/recurrent.py`: Keras' layers, but with as
# little as possible in their loop over time. And all that the first layer ever reads are the V rows of the embedding,
# so these are projected to its gates, $W E$, and not the B T characters of each batch one by one.


# %%
class CharRNN(keras.Model):
    """Embedding, recurrent layers (GRU, Cho et al. 2014, arXiv:1406.1078, or LSTM), dropout, logits.

    The GRU is Keras' variant with the reset gate applied after the recurrent product, as on cuDNN. Dropout acts on the
    outputs of each recurrent layer, never on what a layer hands to itself (Zaremba et al. 2014, arXiv:1409.2329).
    """

    def __init__(
        self,
        vocabulary_size: int,
        embedding_dim: int,
        units: int,
        layers: int = 1,
        cell: str = "gru",
        dropout: float = 0.0,
        plain_gru: bool = False,
    ):
        """Lay out the layers; the arguments are the settings of the same names."""
        super().__init__()
        self.units = units
        self.embedding = keras.layers.Embedding(
            vocabulary_size, embedding_dim, embeddings_initializer=keras.initializers.RandomNormal(stddev=1.0)
        )
        fast, plain = {"gru": (GRU, keras.layers.GRU), "lstm": (LSTM, keras.layers.LSTM)}[cell]
        recurrent = plain if plain_gru else fast
        self.recurrent = [recurrent(units, return_sequences=True, return_state=True) for _ in range(layers)]
        self.dropout = keras.layers.Dropout(dropout)
        small = keras.initializers.VarianceScaling(0.5, "fan_in")
        self.logits = keras.layers.Dense(vocabulary_size, kernel_initializer=small, dtype="float32", name="logits")

    def call(self, ids: tf.Tensor, state: State, training: bool = False) -> tuple[tf.Tensor, State]:
        """Read `ids` on from `state`.

        Args:
            ids: int32 [B, T].
            state: as returned by an earlier call, or by `initial_state`.
            training: whether dropout acts.

        Returns:
            logits float32 [B, T, V], where position t predicts character t + 1; and the state after the last character.
        """
        x, first_state = self._read_with_first_layer(ids, state[0], training)  # B T U
        x, new_state = self.dropout(x, training=training), [first_state]
        for layer, layer_state in zip(self.recurrent[1:], state[1:], strict=True):
            x, *layer_state = layer(x, initial_state=layer_state, training=training)  # B T U, then B U each
            x = self.dropout(x, training=training)
            new_state.append(layer_state)
        return self.logits(x), new_state  # B T V

    def _read_with_first_layer(self, ids: tf.Tensor, state: list[tf.Tensor], training: bool):
        layer = self.recurrent[0]
        if not self._has_table:
            x, *state = layer(self.embedding(ids), initial_state=state, training=training)  # B T U, then B U each
            return x, state
        outputs, state = layer.recur(tf.gather(self._table(), tf.transpose(ids)), state)  # T B U, B U each
        return tf.transpose(outputs, [1, 0, 2]), state  # B T U

    @property
    def _has_table(self) -> bool:
        return isinstance(self.recurrent[0], Recurrent) and self.recurrent[0].is_fast

    def _table(self) -> tf.Tensor:
        """Return what each character adds to the gates of the first layer, float32 [V, 3U], or 4U of an LSTM.

        In float32, because the gradient of a frequent character is a sum over hundreds of places.
        """
        return tf.cast(self.recurrent[0].project(self.embedding.embeddings), tf.float32)

    def reader(self) -> Callable[[tf.Tensor, State], tuple[tf.Tensor, State]]:
        """Return a function that reads one character per row: as `call` on a window of one, without the loop over time.

        It maps ids int32 [B] and a state to the logits float32 [B, V] of the character after it, and the new state.
        What is the same for all characters is computed here, so call this once, before a loop.
        """
        first = self._first_reader()

        def read(ids: tf.Tensor, state: State) -> tuple[tf.Tensor, State]:
            x, first_state = first(ids, state[0])  # B U
            new_state = [first_state]
            for layer, layer_state in zip(self.recurrent[1:], state[1:], strict=True):
                x, layer_state = layer.cell(x, layer_state)  # B U
                new_state.append(list(layer_state))
            return self.logits(x), new_state  # B V

        return read

    def _first_reader(self):
        layer = self.recurrent[0]
        if not self._has_table:
            return lambda ids, state: layer.cell(self.embedding(ids), state)
        table, step = self._table(), layer.stepper()

        def read(ids: tf.Tensor, state: list[tf.Tensor]):
            state = step(tf.gather(table, ids), state)  # B U each
            return state[0], state

        return read

    def build_weights(self) -> "CharRNN":
        """Create all variables, so that they can be restored or counted before the first batch; return self."""
        self.embedding.build(None)
        self.recurrent[0].build([None, None, self.embedding.output_dim])
        self(tf.zeros([1, 1], tf.int32), self.initial_state(1))
        return self

    def initial_state(self, batch_size: int | tf.Tensor) -> State:
        """Return the state before anything was read: zeros."""
        tensors = 2 if isinstance(self.recurrent[0], keras.layers.LSTM) else 1
        zeros = tf.zeros([batch_size, self.units], self.compute_dtype)
        return [[zeros] * tensors for _ in self.recurrent]


# %% [markdown]
# The loss is **cross-entropy**: the surprise, in nats, at the character that really came, $-\ln p(x_{t+1})$. Divided
# by $\ln 2$ it is in bits; its exponential, the *perplexity*, is the number of equally likely characters that would be
# just as hard to guess.


# %%
def cross_entropy(logits: tf.Tensor, targets: tf.Tensor) -> tf.Tensor:
    """Return -ln p(target) in nats, float32 [B, T], from logits [B, T, V] and targets int32 [B, T]."""
    return tf.nn.sparse_softmax_cross_entropy_with_logits(labels=targets, logits=logits)


def masked_mean(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """Return the mean, a scalar, of `values` [B, T] where `mask` [B, T] is True; 0 if it is nowhere."""
    weights = tf.cast(mask, values.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(values * weights), tf.reduce_sum(weights))


# %% [markdown]
# ## Step 4: train
#
# One step of training, line by line: run the model forward while the tape records, ask the tape for the gradient of
# the loss with respect to every weight, and let the optimizer take a step.
#
# The state is **carried** from each batch to the next. It comes in as a plain value, so no gradient flows from one
# window into the one before (*truncated back-propagation through time*), and between steps it rests in variables. Those
# are part of the model, and so of its checkpoints: a run interrupted in mid-epoch goes on with the memory that it had.
#
# One line needs a reason. The embedding's gradient comes as a sparse list of (row, value) pairs, in which a character
# that occurs a hundred times in the batch is listed a hundred times. Keras' Adam squares each of these entries on its
# own, instead of their sum; made dense first, it gets the gradient that the mathematics means. (With Keras' small
# initial embedding the overlong steps happen to help; with N(0, 1) they make no difference.)


# %%
class TrainableCharRNN(CharRNN):
    """The same network, with the state that is carried between batches and the two steps that training is made of."""

    def __init__(self, vocabulary_size: int, train_streams: int, test_streams: int, **architecture):
        """Lay out the network and the variables that hold its state between batches.

        Args:
            vocabulary_size: V.
            train_streams: B of the batches given to `train_step`.
            test_streams: B of the batches given to `test_step`.
            architecture: as for `CharRNN`.
        """
        super().__init__(vocabulary_size, **architecture)
        self.train_state = self._state_variables(train_streams, "train_state")
        self.test_state = self._state_variables(test_streams, "test_state")
        self.mean_loss = keras.metrics.Mean(name="loss")

    def train_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Learn from one batch; return its loss, the mean of -ln p(target) in nats per character."""
        inputs, targets, mask, is_start = batch
        state = pick_up(self.train_state, is_start)
        with tf.GradientTape() as tape:
            logits, state = self(inputs, state, training=True)
            loss = masked_mean(cross_entropy(logits, targets), mask)
            scaled_loss = self.optimizer.scale_loss(loss)  # larger in float16, whose small gradients would be zero
        gradients = tape.gradient(scaled_loss, self.trainable_variables)
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]  # sums the embedding's sparse rows
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        put_down(self.train_state, state)
        self.mean_loss.update_state(loss)  # which is what fit() shows
        return {"loss": loss}

    def test_step(self, batch: Batch) -> dict[str, tf.Tensor]:
        """Measure one batch; return the running mean over all characters since the metric was reset."""
        inputs, targets, mask, is_start = batch
        logits, state = self(inputs, pick_up(self.test_state, is_start))
        put_down(self.test_state, state)
        self.mean_loss.update_state(cross_entropy(logits, targets), sample_weight=mask)
        return {"loss": self.mean_loss.result()}

    def _state_variables(self, streams: int, name: str) -> list[list[keras.Variable]]:
        def variable(tensor: tf.Tensor, name: str) -> keras.Variable:
            return self.add_weight(
                name=name, shape=tensor.shape, dtype=tensor.dtype, initializer="zeros", trainable=False, autocast=False
            )

        return [
            [variable(tensor, f"{name}_of_layer_{number}_{part}") for part, tensor in enumerate(layer)]
            for number, layer in enumerate(self.initial_state(streams))
        ]


def pick_up(variables: list[list[keras.Variable]], is_start: tf.Tensor) -> State:
    """Return the carried state, or zeros where a text begins."""
    return [
        [tf.where(is_start, tf.zeros_like(variable.value), variable.value) for variable in layer] for layer in variables
    ]


def put_down(variables: list[list[keras.Variable]], state: State) -> None:
    """Keep `state` in `variables` for the next batch."""
    for layer, layer_state in zip(variables, state, strict=True):
        for variable, tensor in zip(layer, layer_state, strict=True):
            variable.assign(tensor)
