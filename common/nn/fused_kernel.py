"""A fused kernel for recurrent layers, such as cuDNN's on a GPU, used only where it computes what it should.

cuDNN runs all steps of a layer in one call. But with a mask its results were found to be corrupt at random
(github.com/tensorflow/tensorflow/issues/60192), and in bfloat16 the gradients of Keras' GRU by cuDNN 9.19, on an H200,
were wrong by their own size. So it is never given a mask, and each kind of layer and dtype is checked once in a
process: a small example must give the outputs and gradients of the loop in `common.nn.recurrent`. Otherwise that loop
is used.

Letters in shape comments: T time, B batch, E inputs, U units, G gates.
"""

import contextlib
import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import keras
import tensorflow as tf

from common.io.terminal import echo

Kernel = Callable[[str, tf.Tensor, list[tf.Tensor], list[tf.Tensor]], tuple[tf.Tensor, list[tf.Tensor]]]
"""Maps a kind of layer ("gru", "lstm"), inputs [T, B, E], the initial state and the weights of Keras' layer to all
outputs [T, B, U] and the final state."""

TOLERANCES = {"float64": 1e-6, "float32": 0.01, "bfloat16": 0.06, "float16": 0.03}
"""The largest accepted difference, relative to the largest value. In float32 GPUs multiply in TF32, with 10 bits."""

_installed: list[Kernel] = []
_differences: dict[tuple[Kernel, str, str], float] = {}


def install_kernel(kernel: Kernel | None) -> None:
    """Use `kernel` from now on where it passes the check; None for no kernel."""
    _installed[:] = [kernel] if kernel else []


@contextlib.contextmanager
def without_kernel() -> Iterator[None]:
    """Trace the code of this block without a kernel: XLA cannot compile one."""
    before = list(_installed)
    _installed.clear()
    try:
        yield
    finally:
        _installed[:] = before


def checked_kernel(layer: keras.layers.RNN) -> Kernel | None:
    """Return the installed kernel if it computes what the loop of layers like this one does; else None.

    The first call for a kind of layer and a dtype runs the check and prints a line with its result.
    """
    if not _installed:
        return None
    [kernel], kind, dtype = _installed, layer.KIND, layer.compute_dtype
    key, accepted = (kernel, kind, dtype), TOLERANCES[dtype]
    if key not in _differences:
        with ThreadPoolExecutor(1) as other_thread:  # which runs it now, whatever is being traced or recorded here
            _differences[key] = other_thread.submit(largest_difference, kernel, layer).result()
        path = kernel.__name__ if _differences[key] <= accepted else f"a loop instead of {kernel.__name__}"
        echo(f"{kind.upper()} in {dtype}: {path}, which differs from the loop by {_differences[key]:.0e}")
    return kernel if _differences[key] <= accepted else None


def largest_difference(kernel: Kernel, layer: keras.layers.RNN) -> float:
    """Return the largest relative difference of outputs, final state and gradients; infinity if the kernel fails.

    Both run a small layer like `layer`, with the same random numbers.
    """
    steps, batch, inputs, units = 5, 3, 7, 8
    small = type(layer)(units, dtype=layer.dtype_policy)
    small.build([None, None, inputs])
    weights = [
        tf.cast(0.5 * tf.random.stateless_normal(weight.shape, seed=[0, index]), weight.dtype)
        for index, weight in enumerate(small.weights)
    ]
    small.cell.kernel, small.cell.recurrent_kernel, small.cell.bias = weights
    x = tf.cast(tf.random.stateless_normal([steps, batch, inputs], seed=[1, 0]), layer.compute_dtype)  # T B E
    state = [tf.zeros_like(tensor) + 0.5 for tensor in small.get_initial_state(batch)]  # B U each

    def results(run: Callable[[], tuple[tf.Tensor, list[tf.Tensor]]]) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([x, *state, *weights])
            outputs, final_state = run()
            found = [tf.cast(tensor, tf.float32) for tensor in (outputs, *final_state)]
            factors = [tf.random.stateless_normal(tf.shape(tensor), seed=[2, 0]) for tensor in found]
            total = tf.add_n([tf.reduce_sum(one * other) for one, other in zip(found, factors, strict=True)])
        return found + [tf.cast(gradient, tf.float32) for gradient in tape.gradient(total, [x, *state, *weights])]

    expected = results(lambda: small.run(small.project(x), state))
    try:
        found = results(lambda: kernel(layer.KIND, x, state, weights))
    except (tf.errors.OpError, ValueError):  # no such kernel on this device
        return float("inf")
    differences = [
        float(tf.reduce_max(abs(one - other)) / tf.reduce_max(abs(other)))
        for one, other in zip(found, expected, strict=True)
    ]
    return float("inf") if any(map(math.isnan, differences)) else max(differences)


def cudnn(
    kind: str, x: tf.Tensor, state: list[tf.Tensor], weights: list[tf.Tensor]
) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Run a whole layer by cuDNN, with sequences of equal length; a `Kernel`.

    cuDNN has the gates r, z, n of a GRU in another order, transposed matrices, and two biases of an LSTM. TensorFlow's
    `CudnnRNNV2` would do without lengths, but it calls functions that cuDNN 9 no longer has.
    """
    kernel, recurrent_kernel, bias = (tf.cast(weight, x.dtype) for weight in weights)
    gates = 3 if kind == "gru" else 4
    order = [1, 0, 2] if kind == "gru" else [0, 1, 2, 3]
    bias = bias if kind == "gru" else tf.stack([tf.zeros_like(bias), bias])  # 2 GU
    matrices = [tf.split(matrix, gates, axis=1) for matrix in (kernel, recurrent_kernel)]
    biases = [tf.split(row, gates) for row in tf.unstack(bias, num=2)]
    parameters = [tf.transpose(parts[gate]) for parts in matrices for gate in order]
    parameters += [parts[gate] for parts in biases for gate in order]
    h, *c = (tf.cast(tensor, x.dtype)[None] for tensor in state)  # 1 B U
    outputs, h, final_c, _, _ = tf.raw_ops.CudnnRNNV3(
        input=x,
        input_h=h,
        input_c=c[0] if c else tf.zeros_like(h),
        params=tf.concat([tf.reshape(parameter, [-1]) for parameter in parameters], axis=0),
        sequence_lengths=tf.fill(tf.shape(x)[1:2], tf.shape(x)[0]),  # B
        rnn_mode=kind,
        is_training=True,
    )
    return outputs, [h[0], final_c[0]] if c else [h[0]]
