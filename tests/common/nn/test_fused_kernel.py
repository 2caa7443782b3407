import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn import fused_kernel
from common.nn.fused_kernel import install_kernel, largest_difference, without_kernel
from common.nn.recurrent import GRU, LSTM
from tests.common.nn.test_recurrent import MASKS, assert_same, both_cells, results, some_input, twins

calls = []


@pytest.fixture(autouse=True)
def clean():
    calls.clear()
    yield
    install_kernel(None)


def cells_of_keras(kind, x, state, weights):
    """A right kernel: Keras' equations, step by step."""
    calls.append(kind)
    kernel, recurrent_kernel, bias = (tf.cast(weight, x.dtype) for weight in weights)
    h, *c = state
    outputs = []
    for t in range(x.shape[0]):
        if kind == "gru":
            x_z, x_r, x_n = tf.split(x[t] @ kernel + bias[0], 3, axis=1)
            h_z, h_r, h_n = tf.split(h @ recurrent_kernel + bias[1], 3, axis=1)
            z, r = tf.sigmoid(x_z + h_z), tf.sigmoid(x_r + h_r)
            h = z * h + (1 - z) * tf.tanh(x_n + r * h_n)
        else:
            i, f, g, o = tf.split(x[t] @ kernel + h @ recurrent_kernel + bias, 4, axis=1)
            c = [tf.sigmoid(f) * c[0] + tf.sigmoid(i) * tf.tanh(g)]
            h = tf.sigmoid(o) * tf.tanh(c[0])
        outputs.append(h)
    return tf.stack(outputs), [h, *c]


def wrong_outputs(kind, x, state, weights):
    outputs, state = cells_of_keras(kind, x, state, weights)
    return outputs * 1.1, state


def wrong_gradients(kind, x, state, weights):
    """The right outputs; the gradient of the recurrent weights is twice what it should be."""
    kernel, recurrent_kernel, bias = weights
    return cells_of_keras(kind, x, state, [kernel, 2 * recurrent_kernel - tf.stop_gradient(recurrent_kernel), bias])


def fails(kind, x, state, weights):
    raise tf.errors.NotFoundError(None, None, "no kernel for this device")


def does_not_fit(kind, x, state, weights):
    raise ValueError("Shapes (3, 4) and (4, 3) are incompatible")


def nan_outputs(kind, x, state, weights):
    outputs, state = cells_of_keras(kind, x, state, weights)
    return outputs * float("nan"), state


@both_cells
@pytest.mark.parametrize("go_backwards", [False, True])
@pytest.mark.parametrize("mask", MASKS)
def test_a_right_kernel_changes_no_result(cell, mask, go_backwards):
    ours, theirs = twins(cell, go_backwards=go_backwards)
    x, state = some_input(cell)
    install_kernel(cells_of_keras)
    found = results(ours, x, state, MASKS[mask], compiled=False)
    install_kernel(None)
    assert_same(found, results(ours, x, state, MASKS[mask], compiled=False), rtol=1e-9, atol=1e-12)
    assert_same(found, results(theirs, x, state, MASKS[mask], compiled=False), rtol=1e-9, atol=1e-12)


@both_cells
def test_a_kernel_is_used_and_checked_once(cell, capsys):
    install_kernel(cells_of_keras)
    fused_kernel._differences.clear()
    ours, _ = twins(cell)
    x, state = some_input(cell)
    for _ in range(2):
        ours(x, initial_state=state)
    assert len(calls) == 3, "the check and two uses"
    assert capsys.readouterr().out.count("\n") == 1
    with without_kernel():
        ours(x, initial_state=state)
    assert len(calls) == 3


@both_cells
@pytest.mark.parametrize("kernel", [wrong_outputs, wrong_gradients, fails, does_not_fit, nan_outputs])
def test_a_faulty_kernel_is_not_used(cell, kernel, capsys):
    install_kernel(kernel)
    ours, theirs = twins(cell)
    x, state = some_input(cell)
    assert_same(
        results(ours, x, state, compiled=False), results(theirs, x, state, compiled=False), rtol=1e-9, atol=1e-12
    )
    assert f"{cell.KIND.upper()} in float64: a loop instead of {kernel.__name__}" in capsys.readouterr().out


@both_cells
@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_rounding_passes_the_check(cell, dtype):
    layer = cell(4, dtype=dtype)
    assert largest_difference(cells_of_keras, layer) <= fused_kernel.TOLERANCES[layer.compute_dtype]
    assert largest_difference(wrong_gradients, layer) > 10 * fused_kernel.TOLERANCES[layer.compute_dtype]


def test_training_learns_with_a_faulty_kernel():
    """As the loop is used instead: the loss is that of a run without a kernel."""

    def losses():
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input([6, 4]), GRU(8), keras.layers.Dense(1)])
        model.compile("adam", "mse")
        x = np.random.default_rng(0).normal(size=(32, 6, 4)).astype("float32")
        return model.fit(x, x.sum(axis=(1, 2))[:, None], epochs=3, verbose=0).history["loss"]

    expected = losses()
    install_kernel(wrong_gradients)
    assert losses() == expected and expected[-1] < expected[0]


def operations(function, *arguments):
    graph = tf.function(function).get_concrete_function(*arguments).graph
    functions = graph.as_graph_def().library.function
    return {node.op for node in graph.as_graph_def().node} | {node.op for one in functions for node in one.node_def}


@both_cells
@pytest.mark.parametrize("mask", MASKS)
def test_cudnn_never_gets_a_mask(cell, mask, monkeypatch):
    """A processor can trace the operation, though not run it."""
    monkeypatch.setattr(fused_kernel, "largest_difference", lambda kernel, layer: 0.0)
    install_kernel(fused_kernel.cudnn)
    layer = cell(4, return_sequences=True)
    layer.build([None, None, 5])

    def step(x):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(layer(x, mask=MASKS[mask]))
        return tape.gradient(loss, [weight.value for weight in layer.weights])

    found = operations(step, tf.zeros([3, 7, 5]))
    assert ("CudnnRNNV3" in found) == (mask == "none" or cell is GRU)
    assert ("CudnnRNNBackpropV3" in found) == ("CudnnRNNV3" in found)


@pytest.mark.parametrize("kind", ["gru", "lstm"])
def test_cudnn_gets_the_full_length_of_every_sequence(kind, monkeypatch):
    given = {}

    def record(**arguments):
        given.update(arguments)
        return [tf.zeros([1, 3, 4])] * 5

    monkeypatch.setattr(tf.raw_ops, "CudnnRNNV3", record)
    gates = {"gru": 3, "lstm": 4}[kind]
    bias = tf.zeros([2, 4 * gates] if kind == "gru" else [4 * gates])
    weights = [tf.zeros([5, 4 * gates]), tf.zeros([4, 4 * gates]), bias]
    state = [tf.zeros([3, 4])] * (gates - 2)
    fused_kernel.cudnn(kind, tf.zeros([7, 3, 5]), state, weights)
    assert given["sequence_lengths"].numpy().tolist() == [7, 7, 7]
    assert given["params"].shape == [gates * (5 * 4 + 4 * 4 + 2 * 4)]


@pytest.mark.parametrize(("kind", "order"), [("gru", [1, 0, 2]), ("lstm", [0, 1, 2, 3])])  # r, z, n; i, f, g, o
def test_cudnn_gets_the_gates_in_its_own_order(kind, order, monkeypatch):
    given, outputs = {}, [tf.zeros([1, 3, 4])] * 5
    monkeypatch.setattr(tf.raw_ops, "CudnnRNNV3", lambda **arguments: given.update(arguments) or outputs)
    gates, inputs, units = len(order), 5, 4
    numbers = np.repeat(np.arange(gates, dtype="float32"), units)  # each column has the number of its gate
    matrices = [np.tile(numbers, [inputs, 1]), 10 + np.tile(numbers, [units, 1])]
    bias = np.stack([20 + numbers, 30 + numbers]) if kind == "gru" else 30 + numbers
    weights = [tf.constant(each, tf.float32) for each in (*matrices, bias)]
    fused_kernel.cudnn(kind, tf.zeros([7, 3, inputs]), [tf.zeros([3, units])] * (gates - 2), weights)
    first_biases = [20 + gate if kind == "gru" else 0 for gate in order]
    numbers = [*order, *(10 + gate for gate in order), *first_biases, *(30 + gate for gate in order)]
    sizes = [inputs * units] * gates + [units * units] * gates + [units] * 2 * gates
    np.testing.assert_array_equal(given["params"], np.repeat(numbers, sizes))


def test_cudnn_fails_the_check_without_a_gpu():
    if not tf.config.list_logical_devices("GPU"):
        for cell in (GRU, LSTM):
            assert largest_difference(fused_kernel.cudnn, cell(4)) == float("inf")
