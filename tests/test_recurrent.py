import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.recurrent import GRU

B, T, E, U = 3, 7, 5, 4
rng = np.random.default_rng(0)

MASKS = {
    "none": None,
    "right": np.arange(T) < np.array([[T], [3], [1]]),
    "left": np.arange(T) >= np.array([[0], [2], [6]]),
    "holes, and a row of nothing": np.array([[1, 0, 1, 1, 0, 0, 1], [0, 1, 1, 0, 1, 1, 0], [0] * T], bool),
}


def twins(dtype="float64", **options):
    """Return this layer and Keras', with the same weights."""
    options = {"return_sequences": True, "return_state": True, "dtype": dtype} | options
    ours, theirs = GRU(U, **options), keras.layers.GRU(U, **options)
    for layer in (ours, theirs):
        layer.build((None, None, E))
    for one, other in zip(ours.weights, theirs.weights, strict=True):
        one.assign(rng.normal(size=one.shape))
        other.assign(one)
    return ours, theirs


def results(layer, x, state, mask=None, compiled=True, training=False):
    """Return outputs and final state, and the gradients of a sum of both with random weights."""
    weights = np.random.default_rng(1)

    def run(x, state):
        with tf.GradientTape() as tape:
            tape.watch([x, state])
            found = layer(x, initial_state=state, mask=mask, training=training)
            total = tf.add_n(
                [tf.reduce_sum(part * tf.cast(weights.normal(size=part.shape), part.dtype)) for part in found]
            )
        return list(found), tape.gradient(total, [x, state, *(weight.value for weight in layer.trainable_weights)])

    return tf.nest.flatten((tf.function(run) if compiled else run)(x, state))


def some_input(dtype="float64", length=T):
    return tf.constant(rng.normal(size=(B, length, E)), dtype), tf.constant(rng.normal(size=(B, U)), dtype)


def assert_same(ours, theirs, **tolerance):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, **tolerance)


OTHER_WAYS = [{"go_backwards": True}, {"return_sequences": False}, {"zero_output_for_mask": True}]


@pytest.mark.parametrize(
    ("mask", "options"),
    [(mask, {}) for mask in MASKS] + [("left", options) for options in OTHER_WAYS],
    ids=[*MASKS, *(next(iter(options)) for options in OTHER_WAYS)],
)
def test_outputs_and_every_gradient_are_those_of_keras(mask, options):
    ours, theirs = twins(**options)
    assert ours.is_fast
    x, state = some_input()
    assert_same(results(ours, x, state, MASKS[mask]), results(theirs, x, state, MASKS[mask]), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("length", [1, 2, 33])
def test_any_length_will_do(length):
    ours, theirs = twins()
    x, state = some_input(length=length)
    assert_same(results(ours, x, state), results(theirs, x, state), rtol=1e-9, atol=1e-12)


def test_line_by_line_is_the_same_as_compiled():
    ours, _ = twins()
    x, state = some_input()
    mask = MASKS["right"]
    assert_same(results(ours, x, state, mask, compiled=False), results(ours, x, state, mask), rtol=1e-9, atol=1e-12)


def test_gradients_are_those_of_finite_differences():
    ours, _ = twins()
    x, state = some_input()
    mask = MASKS["holes, and a row of nothing"]
    variables = [tf.Variable(x), tf.Variable(state), *(weight.value for weight in ours.trainable_weights)]

    def loss():
        outputs, final = ours(variables[0], initial_state=variables[1], mask=mask)
        return tf.reduce_sum(outputs**2) + tf.reduce_sum(final)

    with tf.GradientTape() as tape:
        total = loss()
    for variable, gradient in zip(variables, tape.gradient(total, variables), strict=True):
        direction = rng.normal(size=variable.shape)
        slopes = []
        for sign in (1e-6, -1e-6):
            variable.assign_add(sign * direction)
            slopes.append(float(loss()))
            variable.assign_sub(sign * direction)
        assert (slopes[0] - slopes[1]) / 2e-6 == pytest.approx(np.sum(direction * gradient), rel=1e-6)


def test_one_trace_serves_all_shapes():
    ours, theirs = twins()
    traces = []

    @tf.function(input_signature=[tf.TensorSpec([None, None, E], tf.float64), tf.TensorSpec([None, None], tf.bool)])
    def gradient(x, mask):
        traces.append(x.shape)
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(ours(x, mask=mask)[0] ** 2)
        return tape.gradient(total, ours.trainable_weights[1].value)

    for rows, length in itertools.product((1, 4), (2, 5)):
        x, mask = rng.normal(size=(rows, length, E)), np.ones((rows, length), bool)
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(theirs(x, mask=mask)[0] ** 2)
        expected = tape.gradient(total, theirs.trainable_weights[1].value)
        np.testing.assert_allclose(gradient(x, mask), expected, rtol=1e-9)
    assert len(traces) == 1


def test_dropout_hits_the_inputs_of_all_steps_alike():
    ours, theirs = twins(dropout=0.5, seed=3)
    x, state = some_input()
    seen = results(ours, x, state, training=True)
    assert_same(seen, results(theirs, x, state, training=True), rtol=1e-9, atol=1e-12)
    assert not np.allclose(seen[0], results(ours, x, state)[0])


def test_low_precision_is_close_and_keeps_types():
    ours, _ = twins("mixed_bfloat16")
    exact, _ = twins("float32")
    for one, other in zip(exact.weights, ours.weights, strict=True):
        one.assign(other)
    x, state = some_input("float32")
    found = results(ours, x, state)
    assert [part.dtype.name for part in found] == ["bfloat16"] * 2 + ["float32"] * 5
    for one, other in zip(found, results(exact, x, state), strict=True):
        scale = np.abs(other).max()
        np.testing.assert_allclose(tf.cast(one, tf.float32), other, atol=0.05 * scale)


def test_stepping_is_calling():
    ours, _ = twins()
    x, state = some_input()
    outputs, _ = ours(x, initial_state=state)
    step = ours.stepper()
    for t in range(T):
        state = step(ours.project(x[:, t]), state)
        np.testing.assert_allclose(state, outputs[:, t], rtol=1e-9)


def test_weights_and_names_are_those_of_keras(tmp_path):
    ours, theirs = (
        keras.Sequential([keras.Input((None, E)), layer(U, name="gru")], name="model")
        for layer in (GRU, keras.layers.GRU)
    )
    assert [weight.path for weight in ours.weights] == [weight.path for weight in theirs.weights]
    theirs.save_weights(tmp_path / "their.weights.h5")
    ours.load_weights(tmp_path / "their.weights.h5")
    x, _ = some_input("float32")
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-5)
    assert GRU.from_config(ours.layers[0].get_config()).get_config() == ours.layers[0].get_config()


@pytest.mark.parametrize(
    "options",
    [{"activation": "relu"}, {"use_bias": False}, {"reset_after": False}, {"recurrent_dropout": 0.5}, {"unroll": True}],
    ids=lambda options: next(iter(options)),
)
def test_other_arguments_are_left_to_keras(options):
    ours, theirs = twins(**options, seed=1)
    assert not ours.is_fast
    x, state = some_input()
    assert_same(results(ours, x, state), results(theirs, x, state), rtol=1e-9, atol=1e-12)


def test_it_works_in_bidirectional_and_trains_with_fit():
    losses = []
    for layer in (GRU, keras.layers.GRU):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((T, E)), keras.layers.Bidirectional(layer(U)), keras.layers.Dense(1)])
        model.compile("adam", "mse")
        x, y = np.ones((8, T, E), "float32"), np.ones((8, 1), "float32")
        losses.append(model.fit(x, y, epochs=3, verbose=0).history["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5) and losses[0][-1] < losses[0][0]
