"""Recurrent layers one above the other, on the embeddings of symbols.

Letters in shape comments: B batch, T time, U units, E embedding, G gates and candidate (3 blocks of a GRU, 4 of
an LSTM), V vocabulary.
"""

from collections.abc import Callable

import keras
import tensorflow as tf

from common.nn.dropout import Dropout
from common.nn.fused_kernel import checked_kernel
from common.nn.recurrent import GRU, LSTM, Recurrent, States

LAYER_CLASSES = {"gru": GRU, "lstm": LSTM}

Cell = str | type[keras.layers.RNN]
"""The kind of layer: "gru", "lstm", or the class of a recurrent layer, for instance `keras.layers.GRU`."""


class RecurrentStack(keras.layers.Layer):
    """L GRU or LSTM layers one above the other, with dropout on the outputs of each.

        h_t = RNN(E x_t, h_{t-1})        and for each further layer        h'_t = RNN(dropout(h_t), h'_{t-1})

    The outputs of the last layer get dropout as well. There is none from one step to the next within a layer (Zaremba
    et al. 2014, arXiv:1409.2329).

    All inputs of the first layer are rows of the embedding E. So its V rows are projected to the gates once, E W + b,
    and not the B T inputs, unless the layer is one of Keras or runs by a fused kernel. The results are the same.
    """

    def __init__(self, units: int, layers: int = 1, cell: Cell = "gru", dropout: float = 0.0):
        """Create L = `layers` layers, of U = `units` units each.

        `dropout` is the fraction of the outputs of each layer that training sets to zero.
        """
        super().__init__()
        self.units = units
        layer_class = LAYER_CLASSES[cell] if isinstance(cell, str) else cell
        self.rnn_layers = [layer_class(units, return_sequences=True, return_state=True) for _ in range(layers)]
        self.dropout = Dropout(dropout)

    def build(self, embedded_shape: list[int | None]) -> None:
        """Create the weights for embedded symbols of the shape [B, T, E], of which only E must be known."""
        for layer in self.rnn_layers:
            layer.build(embedded_shape)
            embedded_shape = [None, None, self.units]

    def initial_state(self, batch_size: int | tf.Tensor) -> list[States]:
        """Return zeros, the state before the first symbol: for each layer its tensors [B, U], in the compute dtype."""
        return [layer.get_initial_state(batch_size) for layer in self.rnn_layers]

    def call(
        self, ids: tf.Tensor, state: list[States], embedding: keras.layers.Embedding, training: bool = False
    ) -> tuple[tf.Tensor, list[States]]:
        """Return the outputs of the last layer [B, T, U] and the final state, from ids int32 [B, T].

        `state` is the state before the first symbol, as from `initial_state` or an earlier call; `embedding` is built.
        """
        x, layer_state = self._run_first_layer(ids, state[0], embedding, training)  # B T U, B U each
        x, new_state = self.dropout(x, training=training), [layer_state]
        for layer, layer_state in zip(self.rnn_layers[1:], state[1:], strict=True):
            x, *layer_state = layer(x, initial_state=layer_state, training=training)  # B T U, B U each
            x = self.dropout(x, training=training)
            new_state.append(layer_state)
        return x, new_state

    def make_decode_step(
        self, embedding: keras.layers.Embedding
    ) -> Callable[[tf.Tensor, list[States]], tuple[tf.Tensor, list[States]]]:
        """Return `decode_step(ids [B], state) -> (outputs [B, U], state)`: `call` for one symbol, without the loop.

        What is the same at every step is computed here, so call this once, before the loop. In low precision the state
        is rounded after each symbol, where `call` rounds the final one only.
        """
        first_layer_step = self._make_first_layer_step(embedding)

        def decode_step(ids: tf.Tensor, state: list[States]) -> tuple[tf.Tensor, list[States]]:
            x, layer_state = first_layer_step(ids, state[0])  # B U
            new_state = [layer_state]
            for layer, layer_state in zip(self.rnn_layers[1:], state[1:], strict=True):
                x, layer_state = layer.cell(x, layer_state)  # B U
                new_state.append(list(layer_state))
            return x, new_state

        return decode_step

    def _run_first_layer(
        self, ids: tf.Tensor, state: States, embedding: keras.layers.Embedding, training: bool
    ) -> tuple[tf.Tensor, States]:
        layer = self.rnn_layers[0]
        if not self._is_fast:
            outputs, *state = layer(embedding(ids), initial_state=state, training=training)  # B T U, B U each
            return outputs, state
        gate_inputs = tf.gather(self._project_vocabulary(embedding), tf.transpose(ids))  # T B GU
        outputs, state = layer.run(gate_inputs, state)  # T B U, B U each
        return tf.transpose(outputs, [1, 0, 2]), state  # B T U

    def _make_first_layer_step(
        self, embedding: keras.layers.Embedding
    ) -> Callable[[tf.Tensor, States], tuple[tf.Tensor, States]]:
        layer = self.rnn_layers[0]
        if not self._is_fast:
            return lambda ids, state: layer.cell(embedding(ids), state)
        projected, step = self._project_vocabulary(embedding), layer.make_step()

        def first_layer_step(ids: tf.Tensor, state: States) -> tuple[tf.Tensor, States]:
            state = step(tf.gather(projected, ids), state)  # B U each
            return state[0], state

        return first_layer_step

    @property
    def _is_fast(self) -> bool:
        """Whether the first layer takes projected inputs."""
        layer = self.rnn_layers[0]
        return isinstance(layer, Recurrent) and checked_kernel(layer) is None

    def _project_vocabulary(self, embedding: keras.layers.Embedding) -> tf.Tensor:
        """Return the gate inputs E W + b of every symbol, float32 [V, GU].

        In float32, because the gradient of a frequent symbol is a sum over hundreds of positions.
        """
        return tf.cast(self.rnn_layers[0].project(embedding.embeddings), tf.float32)
