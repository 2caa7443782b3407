"""GRU and LSTM layers that train faster on a CPU than Keras' own, with the same weights, outputs and gradients.

Only h_t = f(x_t, h_{t-1}) must be computed one step after the other. All other work is taken out of the loop, because
a CPU multiplies large matrices much faster than many small ones:

- Forward pass: all inputs are projected to the gates by one product before the loop.
- Backward pass: the gradient of the recurrent weights is one product after the loop. Automatic differentiation would
  add a matrix of their size at every step.

The equations stand with the layers. There x_a is the gate input of gate a (projected input plus bias), U_a are the
recurrent weights of that gate, and * is the elementwise product. From the gradients of the new state the backward pass
computes, by the chain rule, those of the previous state and of the gates, D = [da db ...]. Then dU is the sum of
h^T D over all steps. With the steps stacked, that is a single product.

Letters in shape comments: T time, B batch, E inputs, U units, G gates and candidate (3 blocks of a GRU, 4 of an LSTM).
"""

from collections.abc import Callable
from typing import Any, ClassVar

import keras
import tensorflow as tf

from common.io.processor import processor_features
from common.nn.fused_kernel import checked_kernel

IS_AVX2_ONLY = processor_features() == ["avx2"]
"""There oneDNN multiplies a batch of states by a matrix 1.7 times as fast if the matrix is given transposed. With
AVX-512 it takes nearly three times as long in float32, and a tenth less in bfloat16."""

RecurrentMatmul = Callable[[tf.Tensor], tf.Tensor]
"""The product with the recurrent weights: forward [B, U] to [B, GU]; backward, with their transpose, [B, GU] to [B, U].
It multiplies in the dtype of the weights and returns the accumulation dtype."""

States = list[tf.Tensor]
"""The state tensors of a layer, each [B, U]: [h] of a GRU, [h, c] of an LSTM. The first is the output."""


class Recurrent:
    """A mix-in that makes a recurrent layer of Keras fast on a CPU; see `GRU` and `LSTM`.

    In low precision the products are in that precision. Within a call, gates and state are float32; only the outputs
    and the final state are rounded. The gradient cannot be differentiated again, nor saved: a SavedModel of it needs
    `tf.saved_model.SaveOptions(experimental_custom_gradients=False)`.

    On a GPU a layer may run by a fused kernel, see `common.nn.fused_kernel`. It is used if it passes a check. It never
    gets a mask. A GRU may still use it for sequences padded on the right, by running over the padding; an LSTM with a
    mask runs in the loop.

    `project`, `run` and `make_step` are the parts of a call. A model may use them when it can compute the gate inputs
    faster, for instance because all inputs are rows of one small embedding.

    A subclass defines the equations: `forward` and `backward` for one step, `input_gradients` for all steps at once.
    """

    KIND: ClassVar[str]
    """"gru" or "lstm"."""
    NUM_SAVED: ClassVar[int]
    """How many tensors of each step the backward pass needs."""

    def __init__(self, units, *, return_sequences=False, return_state=False, go_backwards=False, name=None, dtype=None):
        """Create the layer, with Keras' defaults of all arguments that it does not take."""
        super().__init__(
            units,
            return_sequences=return_sequences,
            return_state=return_state,
            go_backwards=go_backwards,
            name=name,
            dtype=dtype,
        )
        self.supports_masking = True  # builds of Keras 3.16 have False here, and warn of each mask

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the layer, so that Keras can copy, wrap, save and load it."""
        config = super().get_config()
        names = ("name", "dtype", "units", "return_sequences", "return_state", "go_backwards")
        return {name: config[name] for name in names}

    def project(self, x: tf.Tensor) -> tf.Tensor:
        """Return the gate inputs x W + b [..., GU] of inputs x [..., E], with the gates in the order of Keras."""
        kernel, bias = (tf.cast(weight, self.compute_dtype) for weight in (self.cell.kernel, self._split_bias()[0]))
        return tf.tensordot(tf.cast(x, self.compute_dtype), kernel, 1) + bias

    def run(self, gate_inputs: tf.Tensor, state: States, mask: tf.Tensor | None = None) -> tuple[tf.Tensor, States]:
        """Return the outputs [T, B, U] of all steps and the final state, both in the compute dtype.

        Args:
            gate_inputs: [T, B, GU], from `project`; of any precision, and its gradient has the same.
            state: the initial state.
            mask: bool [T, B]; where it is False, the state does not change. None for True everywhere.
        """
        kernel, step_biases = self._recurrent_weights()
        state = [tf.cast(tensor, _accumulation_dtype(kernel.dtype)) for tensor in state]
        outputs, *other_states = _run(self, gate_inputs, state, kernel, step_biases, mask)
        return outputs, [outputs[-1], *(tf.cast(tensor, kernel.dtype) for tensor in other_states)]

    def make_step(self) -> Callable[[tf.Tensor, States], States]:
        """Return `step(gate_inputs [B, GU], state) -> state`, one step of the layer.

        The weights are prepared here, so call this once, before the loop. In low precision the state is rounded after
        each step, where `run` rounds the final one only.
        """
        kernel, step_biases = self._recurrent_weights()
        transposed = tf.transpose(kernel)  # GU U; a single row is multiplied faster by the transposed weights

        def step(gate_inputs: tf.Tensor, state: States) -> States:
            has_one_row = state[0].shape[0] == 1
            matmul_recurrent = _matmul_with(transposed, transpose_b=True) if has_one_row else _matmul_with(kernel)
            gate_inputs, *state = (
                tf.cast(tensor, _accumulation_dtype(kernel.dtype)) for tensor in (gate_inputs, *state)
            )
            state, _ = self.forward(gate_inputs, state, matmul_recurrent, *step_biases)
            return [tf.cast(tensor, kernel.dtype) for tensor in state]

        return step

    def inner_loop(self, sequences, initial_state, mask, training=False):
        """Do as `keras.layers.RNN.inner_loop`: return the last output, all outputs [B, T, U], and a list of states."""
        x = tf.transpose(sequences, [1, 0, 2])  # T B E
        mask = None if mask is None else tf.transpose(tf.cast(mask, bool))  # T B
        if self.go_backwards:
            x, mask = tf.reverse(x, [0]), None if mask is None else tf.reverse(mask, [0])
        outputs, state = self._run_kernel_or_loop(x, tf.nest.flatten(initial_state), mask)  # T B U
        if mask is not None:  # Keras repeats the previous output at masked steps, and returns zeros before the first
            has_output = tf.cumsum(tf.cast(mask, tf.int32)) > 0  # T B
            outputs = tf.where(has_output[..., None], outputs, tf.zeros_like(outputs))
        return outputs[-1], tf.transpose(outputs, [1, 0, 2]), state

    def _run_kernel_or_loop(self, x: tf.Tensor, state: States, mask: tf.Tensor | None) -> tuple[tf.Tensor, States]:
        """Return outputs [T, B, U] and final state of inputs [T, B, E]; outputs at masked steps may be anything."""
        kernel = checked_kernel(self)
        if kernel is None or (mask is not None and self.KIND != "gru"):
            return self.run(self.project(x), state, mask)
        weights = [tf.convert_to_tensor(weight) for weight in self.cell.weights[:3]]
        if mask is None:
            return kernel(self.KIND, x, state, weights)
        lengths = tf.reduce_sum(tf.cast(mask, tf.int32), axis=0)  # B

        def run_padded() -> tuple[tf.Tensor, States]:
            """Without a mask, what follows the last real step is computed too, and left out here."""
            inputs = tf.reverse_sequence(tf.reverse(x, [0]), lengths, 0, 1) if self.go_backwards else x  # T B E
            outputs, _ = kernel(self.KIND, inputs, state, weights)  # T B U
            rows = tf.range(tf.shape(lengths)[0])  # B
            last = tf.gather_nd(outputs, tf.stack([tf.maximum(lengths - 1, 0), rows], axis=1))  # B U
            last = tf.where((lengths > 0)[:, None], last, tf.cast(state[0], last.dtype))
            if self.go_backwards:
                return tf.reverse(tf.reverse_sequence(outputs, lengths, 0, 1), [0]), [last]
            return tf.where(is_before_end[..., None], outputs, last), [last]

        is_before_end = tf.range(tf.shape(x)[0])[:, None] < lengths  # T B
        is_padded_on_the_right = tf.reduce_all((tf.reverse(mask, [0]) if self.go_backwards else mask) == is_before_end)
        return tf.cond(is_padded_on_the_right, run_padded, lambda: self.run(self.project(x), state, mask))

    def _recurrent_weights(self) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Return U [U, GU] in the compute dtype, and the biases of the step, each [U], in the accumulation dtype."""
        kernel = tf.cast(self.cell.recurrent_kernel, self.compute_dtype)
        return kernel, [tf.cast(bias, _accumulation_dtype(kernel.dtype)) for bias in self._split_bias()[1]]


@keras.saving.register_keras_serializable("eager_examples")
class GRU(Recurrent, keras.layers.GRU):
    """`keras.layers.GRU` with fewer arguments: the same variables and results, faster on a CPU.

    Cho et al. 2014 (arXiv:1406.1078), with the reset gate after the recurrent product, as in cuDNN:

        z = sigmoid(x_z + h U_z)         q = h U_n + b           h' = n + z * (h - n)
        r = sigmoid(x_r + h U_r)         n = tanh(x_n + r * q)

    Backward pass, from dh':

        dn = dh' * (1 - z) * (1 - n * n)         the gradient of x_n, before the tanh; likewise the next two
        dz = dh' * (h - n) * z * (1 - z)         of x_z, before the sigmoid
        dr = dn * q * r * (1 - r)                of x_r
        dq = dn * r
        dh = dh' * z + [dz dr dq] U^T            passed to the previous step
    """

    KIND = "gru"
    NUM_SAVED = 5

    def _split_bias(self) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Return the bias of the projection [3U], and [b], b [U]: r multiplies b, so b belongs to the step."""
        bias, recurrent_bias = tf.unstack(tf.convert_to_tensor(self.cell.bias))  # 3U each
        outside, b = tf.split(recurrent_bias, [2 * self.units, self.units], axis=0)
        return bias + tf.concat([outside, tf.zeros_like(b)], axis=0), [b]

    @staticmethod
    def forward(
        gate_inputs: tf.Tensor, state: States, matmul_recurrent: RecurrentMatmul, b: tf.Tensor
    ) -> tuple[States, list[tf.Tensor]]:
        """Return the new state and the tensors for the backward pass, from the gate inputs [B, 3U] and the state."""
        [h] = state
        x_z, x_r, x_n = tf.split(gate_inputs, 3, axis=-1)  # B U each
        h_z, h_r, h_n = tf.split(matmul_recurrent(h), 3, axis=-1)  # B U each
        z, r = tf.sigmoid(x_z + h_z), tf.sigmoid(x_r + h_r)
        q = h_n + b
        n = tf.tanh(x_n + r * q)
        delta = h - n
        return [n + z * delta], [z, r, n, q, delta]

    @staticmethod
    def backward(
        d_state: States, saved: list[tf.Tensor], matmul_recurrent: RecurrentMatmul, dtype: tf.DType
    ) -> tuple[list[tf.Tensor], States]:
        """Return D = [dz dr dq] and [dz dr dn], [B, 3U] in `dtype`, and the gradient of the previous state."""
        [dh], (z, r, n, q, delta) = d_state, saved
        dn = dh * (1 - z) * (1 - n * n)
        dz = dh * delta * z * (1 - z)
        dr = dn * q * r * (1 - r)
        dz, dr, dq, dn = (tf.cast(gradient, dtype) for gradient in (dz, dr, dn * r, dn))  # cast, then faster to join
        d_gates, d_inputs = (tf.concat([dz, dr, last], axis=-1) for last in (dq, dn))  # B 3U
        return [d_gates, d_inputs], [dh * z + matmul_recurrent(d_gates)]

    @staticmethod
    def input_gradients(d_gates: tf.Tensor, d_inputs: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Return the gradients of the gate inputs [T, B, 3U], and of [b]."""
        dq = d_gates[..., -d_gates.shape[-1] // 3 :]  # T B U
        return d_inputs, [tf.reduce_sum(tf.cast(dq, _accumulation_dtype(dq.dtype)), axis=[0, 1])]


@keras.saving.register_keras_serializable("eager_examples")
class LSTM(Recurrent, keras.layers.LSTM):
    """`keras.layers.LSTM` with fewer arguments: the same variables and results, faster on a CPU.

    Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000; h is the hidden state, c the cell state:

        i = sigmoid(x_i + h U_i)         g = tanh(x_g + h U_g)          c' = f * c + i * g         s = tanh(c')
        f = sigmoid(x_f + h U_f)         o = sigmoid(x_o + h U_o)       h' = o * s

    Backward pass, from dh' and dc':

        dk = dc' + dh' * o * (1 - s * s)         the whole gradient of c', that through h' included
        di = dk * g * i * (1 - i)                the gradient of x_i, before the sigmoid; likewise the next three
        df = dk * c * f * (1 - f)                of x_f
        dg = dk * i * (1 - g * g)                of x_g, before the tanh
        do = dh' * s * o * (1 - o)               of x_o
        dh = [di df dg do] U^T                   passed to the previous step, with dc = dk * f
    """

    KIND = "lstm"
    NUM_SAVED = 6

    def _split_bias(self) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Return the bias of the projection [4U], and no bias of the step."""
        return tf.convert_to_tensor(self.cell.bias), []

    @staticmethod
    def forward(
        gate_inputs: tf.Tensor, state: States, matmul_recurrent: RecurrentMatmul
    ) -> tuple[States, list[tf.Tensor]]:
        """Return the new state and the tensors for the backward pass, from the gate inputs [B, 4U] and the state."""
        h, c = state
        i, f, g, o = tf.split(gate_inputs + matmul_recurrent(h), 4, axis=-1)  # B U each
        i, f, g, o = tf.sigmoid(i), tf.sigmoid(f), tf.tanh(g), tf.sigmoid(o)
        new_c = f * c + i * g
        s = tf.tanh(new_c)
        return [o * s, new_c], [i, f, g, o, c, s]

    @staticmethod
    def backward(
        d_state: States, saved: list[tf.Tensor], matmul_recurrent: RecurrentMatmul, dtype: tf.DType
    ) -> tuple[list[tf.Tensor], States]:
        """Return D = [di df dg do], [B, 4U] in `dtype`, and the gradients of the previous state."""
        (dh, dc), (i, f, g, o, c, s) = d_state, saved
        dk = dc + dh * o * (1 - s * s)
        di, df, dg, do = dk * g * i * (1 - i), dk * c * f * (1 - f), dk * i * (1 - g * g), dh * s * o * (1 - o)
        d_gates = tf.concat([tf.cast(gradient, dtype) for gradient in (di, df, dg, do)], axis=-1)  # B 4U
        return [d_gates], [matmul_recurrent(d_gates), dk * f]

    @staticmethod
    def input_gradients(d_gates: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        """Return the gradient of the gate inputs [T, B, 4U], which is D, and no gradient of a bias."""
        return d_gates, []


def _run(
    layer: Recurrent,
    gate_inputs: tf.Tensor,
    state: States,
    kernel: tf.Tensor,
    step_biases: list[tf.Tensor],
    mask: tf.Tensor | None,
) -> list[tf.Tensor]:
    """Return all outputs [T, B, U], in the dtype of `kernel`, and the final state without its output."""
    steps, (batch, units), accumulation_dtype = tf.shape(gate_inputs)[0], state[0].shape, state[0].dtype
    use_transposed = kernel.dtype != accumulation_dtype or IS_AVX2_ONLY

    def array(dtype: tf.DType, width: int = units) -> tf.TensorArray:
        return tf.TensorArray(dtype, steps, element_shape=[batch, width], clear_after_read=False)

    def select(t: tf.Tensor, tensors: list[tf.Tensor], if_masked: list[tf.Tensor]) -> list[tf.Tensor]:
        if mask is None:
            return tensors
        return [tf.where(mask[t][:, None], *pair) for pair in zip(tensors, if_masked, strict=True)]

    @tf.custom_gradient
    def run_with_gradient(gate_inputs, state, kernel, step_biases):
        transposed = tf.transpose(kernel)  # GU U

        def forward(t, state, outputs, saved):
            matmul_recurrent = _matmul_with(transposed, transpose_b=True) if use_transposed else _matmul_with(kernel)
            x = tf.cast(gate_inputs[t], accumulation_dtype)  # B GU
            new_state, to_save = layer.forward(x, state, matmul_recurrent, *step_biases)
            state = select(t, new_state, if_masked=state)
            return t + 1, state, outputs.write(t, tf.cast(state[0], kernel.dtype)), _write(saved, t, to_save)

        start = 0, state, array(kernel.dtype), [array(accumulation_dtype) for _ in range(layer.NUM_SAVED)]
        _, (_, *other_states), outputs, saved = tf.while_loop(lambda t, *_: t < steps, forward, start)
        outputs = tf.ensure_shape(outputs.stack(), [gate_inputs.shape[0], batch, units])  # T B U

        def gradient(d_outputs, *d_other_states):
            matmul_recurrent = _matmul_with(kernel, transpose_b=True) if use_transposed else _matmul_with(transposed)

            def backward(t, d_state, gate_gradients):
                d_state = [d_state[0] + tf.cast(d_outputs[t], accumulation_dtype), *d_state[1:]]  # B U each
                saved_at_t = [values.read(t) for values in saved]
                new, d_previous_state = layer.backward(d_state, saved_at_t, matmul_recurrent, kernel.dtype)
                new = select(t, new, if_masked=[tf.zeros_like(tensor) for tensor in new])
                return t - 1, select(t, d_previous_state, if_masked=d_state), _write(gate_gradients, t, new)

            # D; and where a bias belongs to the step, the gradient of the gate inputs, which then differs from D.
            gate_gradients = [array(kernel.dtype, kernel.shape[1]) for _ in [kernel, *step_biases]]
            end = steps - 1, [tf.zeros_like(state[0]), *d_other_states], gate_gradients
            _, d_state, gate_gradients = tf.while_loop(lambda t, *_: t >= 0, backward, end)
            d_gates, *d_inputs = (gradients.stack() for gradients in gate_gradients)  # T B GU each
            first = tf.matmul(tf.cast(state[0], kernel.dtype), d_gates[0], transpose_a=True)  # U GU
            h, d = (tf.reshape(tensor, [-1, tensor.shape[-1]]) for tensor in (outputs[:-1], d_gates[1:]))  # TB U, TB GU
            d_kernel = first + tf.matmul(h, d, transpose_a=True)  # U GU
            d_gate_inputs, d_step_biases = layer.input_gradients(d_gates, *d_inputs)
            return tf.cast(d_gate_inputs, gate_inputs.dtype), d_state, d_kernel, d_step_biases

        return [outputs, *other_states], gradient

    return run_with_gradient(gate_inputs, state, kernel, step_biases)


def _matmul_with(kernel: tf.Tensor, **transposed: bool) -> RecurrentMatmul:
    dtype = _accumulation_dtype(kernel.dtype)
    return lambda x: tf.cast(tf.matmul(tf.cast(x, kernel.dtype), kernel, **transposed), dtype)


def _write(arrays: list[tf.TensorArray], t: tf.Tensor, values: list[tf.Tensor]) -> list[tf.TensorArray]:
    return [array.write(t, value) for array, value in zip(arrays, values, strict=True)]


def _accumulation_dtype(dtype: tf.DType) -> tf.DType:
    """Return the dtype of gates and state for products in `dtype`: float64 for float64, else float32."""
    return tf.float64 if dtype == tf.float64 else tf.float32
