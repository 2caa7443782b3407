"""GRU and LSTM that train faster on a processor than Keras' own, with the same weights, outputs and gradients.

Of a recurrent layer only h_t = f(x_t, h_{t-1}) must be computed one step after the other. What need not be in the loop
is taken out of it, in both directions, because a processor multiplies large matrices much faster than many small ones:

- forward, the projection of all inputs is one product before the loop;
- backward, the gradient of the recurrent weights is one product after the loop. Automatic differentiation would add
  up a matrix as large as these weights once for every step, which takes longer than everything else in it.

The equations stand with the cells. There x_a is what the input adds to gate a, the biases included, U_a are its
recurrent weights, and * is taken element by element. From the gradients of the loss with respect to the new state the
way back finds, by the chain rule through each line, those with respect to the state before and to what the state adds
to the gates, D = [da db ...]. Then dU is the sum over all steps of h^T D; with the steps below one another, a single
product.

Letters in shape comments: T time, B batch, E inputs, U units, G gates (3 of a GRU, 4 of an LSTM).
"""

from collections.abc import Callable
from typing import ClassVar

import keras
import tensorflow as tf

Product = Callable[[tf.Tensor], tf.Tensor]
"""Multiplies by the recurrent weights in their dtype, and returns the dtype of gates and state: forward [B, U] to
[B, GU], backward by their transpose, [B, GU] to [B, U]."""

Parts = list[tf.Tensor]
"""Of a state, or of what the way back needs to know of a step: each [B, U]. The first part of a state is the output."""


class Recurrent:
    """What makes a recurrent layer of Keras fast on a processor; a mix-in for `GRU` and `LSTM`.

    With a GPU, or with arguments for which cuDNN has no kernel either (other activations, no bias, `reset_after=False`,
    recurrent dropout, `unroll`), it is Keras' layer. Gates and state are float32 in low precision; products are not.
    Its gradient cannot be differentiated again, nor saved: a SavedModel of it needs
    `tf.saved_model.SaveOptions(experimental_custom_gradients=False)`.

    `project`, `recur` and `stepper` are the parts of a call, for models that know more than a layer can: for instance
    that all inputs are rows of one small table.

    The cells bring their equations: `forward` and `backward` for one step, `gradients` for what comes after the loop.
    """

    SAVED: ClassVar[int]
    """How many tensors of each step the way back needs."""

    @property
    def is_fast(self) -> bool:
        """Whether calls take the way of this module."""
        cell = self.cell
        return (
            cell.activation is keras.activations.tanh
            and cell.recurrent_activation is keras.activations.sigmoid
            and cell.use_bias
            and getattr(cell, "reset_after", True)  # an LSTM has no such choice
            and cell.implementation == 2
            and not cell.recurrent_dropout
            and not self.unroll
            and not tf.config.list_logical_devices("GPU")
        )

    def project(self, x: tf.Tensor) -> tf.Tensor:
        """Return what inputs [..., E] add to the gates, [..., GU] in the order of Keras' weights, biases included."""
        kernel, bias = (tf.cast(weight, self.compute_dtype) for weight in (self.cell.kernel, self._biases()[0]))
        return tf.tensordot(tf.cast(x, self.compute_dtype), kernel, 1) + bias

    def recur(self, projected: tf.Tensor, state: Parts, mask: tf.Tensor | None = None) -> tuple[tf.Tensor, Parts]:
        """Read on from `state`.

        Args:
            projected: [T, B, GU], from `project`; of any precision, and its gradient has the same.
            state: before the first step, each [B, U]: one tensor for a GRU, two for an LSTM.
            mask: bool [T, B]; where it is False, the state stands still. None for True everywhere.

        Returns:
            the outputs [T, B, U] after each step, and the state after the last, in the compute dtype of the layer.
        """
        kernel, extra = self._recurrent_weights()
        state = [tf.cast(part, _wide(kernel.dtype)) for part in state]
        outputs, *rest = _recur(self, projected, state, kernel, extra, mask)
        return outputs, [outputs[-1], *(tf.cast(part, kernel.dtype) for part in rest)]

    def stepper(self) -> Callable[[tf.Tensor, Parts], Parts]:
        """Return a function from `projected` [B, GU] and the state, each [B, U], to the state after one more step.

        What it needs of the weights is prepared here, so call this once, before the loop.
        """
        kernel, extra = self._recurrent_weights()
        columns = tf.transpose(kernel)  # GU U; one row alone is multiplied faster if what it meets lies in rows

        def step(projected: tf.Tensor, state: Parts) -> Parts:
            product = _product(columns, transpose_b=True) if state[0].shape[0] == 1 else _product(kernel)
            projected, *state = (tf.cast(part, _wide(kernel.dtype)) for part in (projected, *state))
            state, _ = self.forward(projected, state, product, *extra)
            return [tf.cast(part, kernel.dtype) for part in state]

        return step

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Do as `keras.layers.RNN.inner_loop`: return the last output, all outputs [B, T, U], and a list of states."""
        if not self.is_fast:
            return super().inner_loop(sequences, initial_state, mask, training)
        if training and self.dropout:
            sequences *= self.cell.get_dropout_mask(sequences[:, 0])[:, None]
        x = tf.transpose(sequences, [1, 0, 2])  # T B E
        mask = None if mask is None else tf.transpose(tf.cast(mask, bool))  # T B
        if self.go_backwards:
            x, mask = tf.reverse(x, [0]), None if mask is None else tf.reverse(mask, [0])
        outputs, state = self.recur(self.project(x), tf.nest.flatten(initial_state), mask)  # T B U
        if mask is not None:  # what Keras shows in places that are masked: the output before, if there was any
            is_shown = mask if self.zero_output_for_mask else tf.cumsum(tf.cast(mask, tf.int32)) > 0
            outputs = tf.where(is_shown[..., None], outputs, tf.zeros_like(outputs))
        return outputs[-1], tf.transpose(outputs, [1, 0, 2]), state

    def _recurrent_weights(self) -> tuple[tf.Tensor, Parts]:
        """Return U [U, GU] in the compute dtype, and biases of the step, each [U], in the dtype of gates and state."""
        kernel = tf.cast(self.cell.recurrent_kernel, self.compute_dtype)
        return kernel, [tf.cast(weight, _wide(kernel.dtype)) for weight in self._biases()[1]]


@keras.saving.register_keras_serializable("eager_examples")  # so that Bidirectional and saved models find it
class GRU(Recurrent, keras.layers.GRU):
    """Drop-in for `keras.layers.GRU`: the same arguments, variables and results, faster on a processor.

    Cho et al. 2014 (arXiv:1406.1078), with the reset gate after the recurrent product, as cuDNN has it:

        z = sigmoid(x_z + h U_z)         q = h U_n + b           h' = n + z * (h - n)
        r = sigmoid(x_r + h U_r)         n = tanh(x_n + r * q)

    Backward, from dh':

        dn = dh' * (1 - z) * (1 - n * n)         the gradient of x_n, before the tanh; likewise the next two
        dz = dh' * (h - n) * z * (1 - z)         of x_z, before the sigmoid
        dr = dn * q * r * (1 - r)                of x_r
        dq = dn * r
        dh = dh' * z + [dz dr dq] U^T            handed on to the step before
    """

    SAVED = 5

    def _biases(self) -> tuple[tf.Tensor, Parts]:
        """Return those of the projection, [3U], and b [U]: it is multiplied by r, so it belongs to the step."""
        bias, recurrent_bias = tf.unstack(tf.convert_to_tensor(self.cell.bias))  # 3U each
        outside, b = tf.split(recurrent_bias, [2 * self.units, self.units], axis=0)
        return bias + tf.concat([outside, tf.zeros_like(b)], axis=0), [b]

    @staticmethod
    def forward(from_input: tf.Tensor, state: Parts, product: Product, b: tf.Tensor) -> tuple[Parts, Parts]:
        """Return the new state, and what the way back needs, from what the input adds to the gates [B, 3U]."""
        [h] = state
        (x_z, x_r, x_n), (h_z, h_r, h_n) = (tf.split(part, 3, axis=-1) for part in (from_input, product(h)))
        z, r = tf.sigmoid(x_z + h_z), tf.sigmoid(x_r + h_r)
        q = h_n + b
        n = tf.tanh(x_n + r * q)
        ahead = h - n
        return [n + z * ahead], [z, r, n, q, ahead]

    @staticmethod
    def backward(d_state: Parts, saved: Parts, product: Product, dtype: tf.DType) -> tuple[Parts, Parts]:
        """Return what `gradients` takes, [dz dr dq] and [dz dr dn] in `dtype`, and the gradient of the state before."""
        [dh], (z, r, n, q, ahead) = d_state, saved
        dn = dh * (1 - z) * (1 - n * n)
        dz = dh * ahead * z * (1 - z)
        dr = dn * q * r * (1 - r)
        dz, dr, dq, dn = (tf.cast(part, dtype) for part in (dz, dr, dn * r, dn))  # narrow, they are joined sooner
        d_gates, d_input = (tf.concat([dz, dr, last], axis=-1) for last in (dq, dn))  # B 3U
        return [d_gates, d_input], [dh * z + product(d_gates)]

    @staticmethod
    def gradients(d_gates: tf.Tensor, d_input: tf.Tensor) -> tuple[tf.Tensor, Parts]:
        """Return the gradients of what the inputs add to the gates [T, B, 3U], and of b."""
        dq = d_gates[..., -d_gates.shape[-1] // 3 :]  # T B U
        return d_input, [tf.reduce_sum(tf.cast(dq, _wide(dq.dtype)), axis=[0, 1])]


@keras.saving.register_keras_serializable("eager_examples")
class LSTM(Recurrent, keras.layers.LSTM):
    """Drop-in for `keras.layers.LSTM`: the same arguments, variables and results, faster on a processor.

    Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000; s is what the cell c shows:

        i = sigmoid(x_i + h U_i)         g = tanh(x_g + h U_g)          c' = f * c + i * g         s = tanh(c')
        f = sigmoid(x_f + h U_f)         o = sigmoid(x_o + h U_o)       h' = o * s

    Backward, from dh' and dc':

        dk = dc' + dh' * o * (1 - s * s)         all that comes to c', by way of h' as well
        di = dk * g * i * (1 - i)                the gradient of x_i, before the sigmoid; likewise the next three
        df = dk * c * f * (1 - f)                of x_f
        dg = dk * i * (1 - g * g)                of x_g, before the tanh
        do = dh' * s * o * (1 - o)               of x_o
        dh = [di df dg do] U^T                   handed on to the step before, with dc = dk * f
    """

    SAVED = 6

    def _biases(self) -> tuple[tf.Tensor, Parts]:
        """Return those of the projection, [4U]; there are no others."""
        return tf.convert_to_tensor(self.cell.bias), []

    @staticmethod
    def forward(from_input: tf.Tensor, state: Parts, product: Product) -> tuple[Parts, Parts]:
        """Return the new state, and what the way back needs, from what the input adds to the gates [B, 4U]."""
        h, c = state
        i, f, g, o = tf.split(from_input + product(h), 4, axis=-1)
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        new = f * c + i * g
        s = tf.tanh(new)
        return [o * s, new], [i, f, g, o, c, s]

    @staticmethod
    def backward(d_state: Parts, saved: Parts, product: Product, dtype: tf.DType) -> tuple[Parts, Parts]:
        """Return what `gradients` takes, just [di df dg do] in `dtype`, and the gradient of the state before."""
        (dh, dc), (i, f, g, o, c, s) = d_state, saved
        dk = dc + dh * o * (1 - s * s)
        di, df, dg, do = dk * g * i * (1 - i), dk * c * f * (1 - f), dk * i * (1 - g * g), dh * s * o * (1 - o)
        d_gates = tf.concat([tf.cast(part, dtype) for part in (di, df, dg, do)], axis=-1)  # B 4U
        return [d_gates], [product(d_gates), dk * f]

    @staticmethod
    def gradients(d_gates: tf.Tensor) -> tuple[tf.Tensor, Parts]:
        """Return the gradient of what the inputs add to the gates [T, B, 4U]: that of what the state adds."""
        return d_gates, []


def _recur(
    cell: Recurrent, from_input: tf.Tensor, state: Parts, kernel: tf.Tensor, extra: Parts, mask: tf.Tensor | None
) -> Parts:
    """Return all outputs [T, B, U], in the dtype of `kernel`, and the last state without its output."""
    steps, (batch, units), wide = tf.shape(from_input)[0], state[0].shape, state[0].dtype
    is_narrow = kernel.dtype != wide  # then rows are multiplied sooner by what lies in rows too: measured, by a tenth

    def array(dtype: tf.DType, width: int = units) -> tf.TensorArray:
        return tf.TensorArray(dtype, steps, element_shape=[batch, width], clear_after_read=False)

    def where_read(t: tf.Tensor, parts: Parts, others: Parts) -> Parts:  # the others where the state stands still
        if mask is None:
            return parts
        return [tf.where(mask[t][:, None], *pair) for pair in zip(parts, others, strict=True)]

    @tf.custom_gradient
    def run(from_input, state, kernel, extra):
        columns = tf.transpose(kernel)  # GU U

        def forward(t, state, outputs, saved):
            product = _product(columns, transpose_b=True) if is_narrow else _product(kernel)
            new, to_save = cell.forward(tf.cast(from_input[t], wide), state, product, *extra)
            state = where_read(t, new, state)
            return t + 1, state, outputs.write(t, tf.cast(state[0], kernel.dtype)), _write(saved, t, to_save)

        start = 0, state, array(kernel.dtype), [array(wide) for _ in range(cell.SAVED)]
        _, (_, *rest), outputs, saved = tf.while_loop(lambda t, *_: t < steps, forward, start)
        outputs = tf.ensure_shape(outputs.stack(), [from_input.shape[0], batch, units])  # T B U

        def gradient(d_outputs, *d_rest):
            product = _product(kernel, transpose_b=True) if is_narrow else _product(columns)

            def backward(t, d_state, gradients):
                d_state = [d_state[0] + tf.cast(d_outputs[t], wide), *d_state[1:]]  # B U each
                found, d_before = cell.backward(d_state, [values.read(t) for values in saved], product, kernel.dtype)
                found = where_read(t, found, [tf.zeros_like(part) for part in found])
                return t - 1, where_read(t, d_before, d_state), _write(gradients, t, found)

            # Beside D: where a bias stands inside, what comes to the input is not what comes to the state.
            gradients = [array(kernel.dtype, kernel.shape[1]) for _ in [kernel, *extra]]
            end = steps - 1, [tf.zeros_like(state[0]), *d_rest], gradients
            _, d_state, gradients = tf.while_loop(lambda t, *_: t >= 0, backward, end)
            d_gates, *beside = (part.stack() for part in gradients)  # T B GU each
            first = tf.matmul(tf.cast(state[0], kernel.dtype), d_gates[0], transpose_a=True)  # U GU
            rows = (tf.reshape(part, [-1, part.shape[-1]]) for part in (outputs[:-1], d_gates[1:]))  # TB U, TB GU
            d_kernel = first + tf.matmul(*rows, transpose_a=True)  # U GU
            d_input, d_extra = cell.gradients(d_gates, *beside)
            return tf.cast(d_input, from_input.dtype), d_state, d_kernel, d_extra

        return [outputs, *rest], gradient

    return run(from_input, state, kernel, extra)


def _product(kernel: tf.Tensor, **transposed: bool) -> Product:
    return lambda x: tf.cast(tf.matmul(tf.cast(x, kernel.dtype), kernel, **transposed), _wide(kernel.dtype))


def _write(arrays: list[tf.TensorArray], t: tf.Tensor, values: Parts) -> list[tf.TensorArray]:
    return [array.write(t, value) for array, value in zip(arrays, values, strict=True)]


def _wide(dtype: tf.DType) -> tf.DType:
    """Return the dtype of gates and state beside products in `dtype`."""
    return tf.float64 if dtype == tf.float64 else tf.float32
