import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn.recurrent import Recurrent
from common.nn.recurrent_stack import RecurrentStack

V, E, U, B, T = 9, 5, 4, 3, 6
rng = np.random.default_rng(0)

KERAS = {"gru": keras.layers.GRU, "lstm": keras.layers.LSTM}
both_cells = pytest.mark.parametrize("cell", ["gru", "lstm"])


@pytest.fixture(autouse=True)
def double_precision():
    """So that equal results can be told from close ones."""
    keras.config.set_dtype_policy("float64")


def make(cell, layers=2, dropout=0.0):
    """Return an embedding and a stack with random weights; the same ones for each kind of layer."""
    keras.utils.set_random_seed(1)
    embedding, stack = keras.layers.Embedding(V, E), RecurrentStack(U, layers, cell, dropout)
    embedding.build(None)
    stack.build([None, None, E])
    weights = np.random.default_rng(1)
    for variable in embedding.trainable_weights + stack.trainable_weights:
        variable.assign(weights.normal(size=variable.shape))
    return embedding, stack


def plain_stack(embedding, stack, layer_class, ids, state):
    """Apply layers of Keras with the weights of `stack`, one after the other."""
    x, final = embedding(ids), []
    for layer, layer_state in zip(stack.rnn_layers, state, strict=True):
        plain = layer_class(U, return_sequences=True, return_state=True)
        plain.build(x.shape)
        for weight, other in zip(plain.weights, layer.weights, strict=True):
            weight._value = other.value  # shared, so that the tape finds the gradients of the stack's weights
        x, *layer_state = plain(x, initial_state=layer_state)
        final.append(layer_state)
    return x, final


def results(function, embedding, stack, state):
    """Return outputs and final state, and the gradients of a weighted sum of both."""
    weights = np.random.default_rng(2)
    variables = [variable.value for variable in embedding.trainable_weights + stack.trainable_weights]
    with tf.GradientTape() as tape:
        tape.watch(state)
        found = tf.nest.flatten(function(state))
        total = tf.add_n([tf.reduce_sum(tensor * weights.normal(size=tensor.shape)) for tensor in found])
    gradients = tape.gradient(total, [*variables, *tf.nest.flatten(state)])
    return found + [tf.convert_to_tensor(gradient) for gradient in gradients]


def some_input(stack):
    ids = rng.integers(V, size=(B, T)).astype("int32")
    return ids, tf.nest.map_structure(lambda zeros: zeros + rng.normal(size=zeros.shape), stack.initial_state(B))


@both_cells
@pytest.mark.parametrize("layers", [1, 3])
def test_it_equals_layers_of_keras_one_after_the_other(cell, layers):
    embedding, stack = make(cell, layers)
    assert all(isinstance(layer, Recurrent) for layer in stack.rnn_layers)
    ids, state = some_input(stack)
    here = results(lambda state: stack(ids, state, embedding=embedding), embedding, stack, state)
    plain = results(lambda state: plain_stack(embedding, stack, KERAS[cell], ids, state), embedding, stack, state)
    for one, other in zip(here, plain, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)  # W E is summed in float32


@both_cells
def test_any_class_of_layers_can_be_given(cell):
    embedding, stack = make(cell)
    ids, state = some_input(stack)
    same_embedding, other = make(KERAS[cell])
    assert not isinstance(other.rnn_layers[0], Recurrent)
    for one, two in zip(
        tf.nest.flatten(stack(ids, state, embedding=embedding)),
        tf.nest.flatten(other(ids, state, embedding=same_embedding)),
        strict=True,
    ):
        np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("cell", [*KERAS, *KERAS.values()])
def test_decoding_step_by_step_equals_the_call(cell):
    embedding, stack = make(cell)
    ids, state = some_input(stack)
    outputs, final = stack(ids, state, embedding=embedding)
    decode_step = stack.make_decode_step(embedding)
    for t in range(T):
        output, state = decode_step(ids[:, t], state)
        np.testing.assert_allclose(output, outputs[:, t], rtol=1e-5, atol=1e-6)
    tf.nest.map_structure(lambda one, two: np.testing.assert_allclose(one, two, rtol=1e-5, atol=1e-6), state, final)


@pytest.mark.parametrize("cell", ["gru", keras.layers.GRU])
def test_dropout_follows_each_layer(cell):
    embedding, stack = make(cell, layers=1, dropout=0.5)
    ids, state = some_input(stack)
    plain, final = stack(ids, state, embedding=embedding)
    dropped, final_dropped = stack(ids, state, embedding=embedding, training=True)
    is_kept = dropped.numpy() != 0
    assert 0.2 < is_kept.mean() < 0.8
    np.testing.assert_allclose(dropped.numpy()[is_kept], 2 * plain.numpy()[is_kept], rtol=1e-6)
    np.testing.assert_allclose(final_dropped[0][0], final[0][0], rtol=1e-6)  # never from step to step
    embedding, deep = make(cell, layers=2, dropout=0.5)
    _, state = some_input(deep)
    _, final = deep(ids, state, embedding=embedding)
    dropped, final_dropped = deep(ids, state, embedding=embedding, training=True)
    assert 0.2 < np.mean(dropped != 0) < 0.8
    np.testing.assert_allclose(final_dropped[0][0], final[0][0], rtol=1e-6)
    assert not np.allclose(final_dropped[1][0], final[1][0], rtol=1e-3)  # its inputs are dropped out


@both_cells
@pytest.mark.parametrize("dtype", ["float64", "mixed_bfloat16"])
def test_the_initial_state_is_zeros_of_the_compute_dtype(cell, dtype):
    keras.config.set_dtype_policy(dtype)
    state = RecurrentStack(U, 2, cell).initial_state(B)
    assert [len(layer) for layer in state] == [{"gru": 1, "lstm": 2}[cell]] * 2
    for tensor in tf.nest.flatten(state):
        assert tensor.shape == (B, U) and tensor.dtype.name == dtype.removeprefix("mixed_") and not np.any(tensor)


@pytest.mark.parametrize("cell", [*KERAS, *KERAS.values()])
def test_in_low_precision_decoding_is_close_to_the_call_and_keeps_the_types_of_the_state(cell):
    keras.config.set_dtype_policy("mixed_bfloat16")
    embedding, stack = make(cell)
    ids = rng.integers(V, size=(B, T)).astype("int32")
    state = stack.initial_state(B)
    outputs, _ = stack(ids, state, embedding=embedding)
    decode_step = stack.make_decode_step(embedding)
    for t in range(T):
        output, state = decode_step(ids[:, t], state)
        np.testing.assert_allclose(*(tf.cast(x, tf.float32) for x in (output, outputs[:, t])), atol=0.1)
    assert {tensor.dtype for tensor in tf.nest.flatten(state)} == {tf.bfloat16}


@both_cells
def test_in_low_precision_the_gradient_of_a_frequent_symbol_is_summed_in_float32(cell):
    keras.config.set_dtype_policy("mixed_bfloat16")
    embedding, stack = make(cell, layers=1)
    projected = stack._project_vocabulary(embedding)
    with tf.GradientTape() as tape:
        tape.watch(projected)
        total = tf.reduce_sum(tf.gather(projected, tf.zeros([4000], tf.int32)))
    gradient = tf.convert_to_tensor(tape.gradient(total, projected))
    np.testing.assert_array_equal(tf.cast(gradient[0], tf.float32), 4000)  # in bfloat16, 256 + 1 is 256
