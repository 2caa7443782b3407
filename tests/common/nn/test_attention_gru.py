import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn.attention_gru import AttentionGRUCell, weighted_sum
from common.nn.muon import Muon

B, S, T, E, D, U = 3, 5, 4, 2, 6, 3
rng = np.random.default_rng(0)


def twins():
    """Return the cell and Keras' GRU cell on the concatenation [E y; c], with the same weights."""
    cell = AttentionGRUCell(U)
    cell(
        cell.project_inputs(tf.zeros([1, E])),
        tf.ones([1, 1]),
        cell.project_context(tf.zeros([1, 1, D])),
        np.zeros([1, U]),
    )
    for weight in cell.weights:
        weight.assign(rng.normal(size=weight.shape))
    plain = keras.layers.GRUCell(U)
    plain.build((None, E + D))
    plain.kernel.assign(np.concatenate([cell.input_projection.kernel, cell.context_projection.kernel]))
    plain.recurrent_kernel.assign(cell.state_projection.kernel)
    plain.bias.assign(np.stack([cell.input_projection.bias, cell.state_projection.bias]))
    return cell, plain


def some_inputs():
    energies = rng.normal(size=(T, B, S))
    arrays = rng.normal(size=(B, T, E)), np.exp(energies) / np.exp(energies).sum(-1, keepdims=True)
    return [tf.constant(x, tf.float32) for x in (*arrays, rng.normal(size=(B, S, D)), rng.normal(size=(B, U)))]


def test_a_weighted_sum_is_the_einsum():
    weights, values = rng.normal(size=(B, S)), rng.normal(size=(B, S, D))
    np.testing.assert_allclose(weighted_sum(weights, values), np.einsum("bs,bsd->bd", weights, values))


def test_it_is_a_gru_of_word_and_context():
    cell, plain = twins()
    x, weights, values, first = some_inputs()

    def fast(x, weights, values, state):
        projected, projected_values = cell.project_inputs(x), cell.project_context(values)
        for t in range(T):
            state = cell(projected[:, t], weights[t], projected_values, state)
        return state

    def reference(x, weights, values, state):
        for t in range(T):
            context = tf.einsum("bs,bsd->bd", weights[t], values)
            state, _ = plain(tf.concat([x[:, t], context], axis=-1), [state])
        return state

    def with_gradients(run, variables):
        with tf.GradientTape() as tape:
            tape.watch([x, weights, values, first])
            state = run(x, weights, values, first)
            total = tf.reduce_sum(state * tf.range(1.0, U + 1))
        return state, tape.gradient(total, [x, weights, values, first, *variables])

    state, gradients = with_gradients(fast, [weight.value for weight in cell.weights])
    expected_state, expected = with_gradients(reference, [plain.kernel, plain.recurrent_kernel, plain.bias])
    np.testing.assert_allclose(state, expected_state, atol=1e-5)
    for gradient, other in zip(gradients[:4], expected[:4], strict=True):
        np.testing.assert_allclose(gradient, other, atol=1e-5)
    by_name = {
        weight.path.split("/", 1)[1]: gradient for weight, gradient in zip(cell.weights, gradients[4:], strict=True)
    }
    kernel, recurrent_kernel, bias = expected[4:]
    expected = {
        "input_projection/kernel": kernel[:E],
        "context_projection/kernel": kernel[E:],
        "state_projection/kernel": recurrent_kernel,
        "input_projection/bias": bias[0],
        "state_projection/bias": bias[1],
    }
    assert by_name.keys() == expected.keys()
    for name, gradient in by_name.items():
        np.testing.assert_allclose(gradient, expected[name], atol=1e-5, err_msg=name)


def test_the_recurrent_weights_begin_orthogonal_as_in_keras():
    cell = AttentionGRUCell(U)
    cell.state_projection.build([None, U])
    kernel = cell.state_projection.kernel.numpy()
    np.testing.assert_allclose(kernel @ kernel.T, np.eye(U), atol=1e-5)


def test_muon_finds_three_gates_in_each_of_its_matrices():
    cell, _ = twins()
    optimizer = Muon(1.0)
    optimizer.build(cell.trainable_weights)
    assert optimizer._gates == [3] * 5


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_low_precision_gives_its_dtype(precision):
    cell = AttentionGRUCell(U, dtype=precision)
    x, weights, values, state = (tf.cast(each, cell.compute_dtype) for each in some_inputs())
    projected, projected_values = cell.project_inputs(x), cell.project_context(values)
    assert cell(projected[:, 0], weights[0], projected_values, state).dtype == cell.compute_dtype
