import itertools
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn import recurrent
from common.nn.muon import Muon
from common.nn.recurrent import GRU, LSTM
from common.training.schedule import WarmupCosine

B, T, E, U = 3, 7, 5, 4
rng = np.random.default_rng(0)

KERAS = {GRU: keras.layers.GRU, LSTM: keras.layers.LSTM}
STATES = {GRU: 1, LSTM: 2}
both_cells = pytest.mark.parametrize("cell", [GRU, LSTM], ids=["gru", "lstm"])

MASKS = {
    "none": None,
    "right": np.arange(T) < np.array([[T], [3], [1]]),
    "right, and a row of nothing": np.arange(T) < np.array([[T], [0], [3]]),
    "left": np.arange(T) >= np.array([[0], [2], [6]]),
    "holes, and a row of nothing": np.array([[1, 0, 1, 1, 0, 0, 1], [0, 1, 1, 0, 1, 1, 0], [0] * T], bool),
}


def twins(cell, dtype="float64", **options):
    """Return this layer and Keras', with the same weights."""
    options = {"return_sequences": True, "return_state": True, "dtype": dtype} | options
    ours, theirs = cell(U, **options), KERAS[cell](U, **options)
    for layer in (ours, theirs):
        layer.build((None, None, E))
    for one, other in zip(ours.weights, theirs.weights, strict=True):
        one.assign(rng.normal(size=one.shape))
        other.assign(one)
    return ours, theirs


def results(layer, x, state, mask=None, compiled=True):
    """Return outputs and final state, and the gradients of a sum of both with random weights."""
    weights = np.random.default_rng(1)

    def run(x, state):
        with tf.GradientTape() as tape:
            tape.watch([x, *state])
            found = layer(x, initial_state=state, mask=mask)
            total = tf.add_n(
                [tf.reduce_sum(part * tf.cast(weights.normal(size=part.shape), part.dtype)) for part in found]
            )
        return list(found), tape.gradient(total, [x, *state, *(weight.value for weight in layer.trainable_weights)])

    return tf.nest.flatten((tf.function(run) if compiled else run)(x, state))


def some_input(cell, dtype="float64", length=T):
    state = [tf.constant(rng.normal(size=(B, U)), dtype) for _ in range(STATES[cell])]
    return tf.constant(rng.normal(size=(B, length, E)), dtype), state


def assert_same(ours, theirs, **tolerance):
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, **tolerance)


OTHER_WAYS = [{"go_backwards": True}, {"return_sequences": False}]


@both_cells
@pytest.mark.parametrize(
    ("mask", "options"),
    [(mask, {}) for mask in MASKS] + [("left", options) for options in OTHER_WAYS],
    ids=[*MASKS, *(next(iter(options)) for options in OTHER_WAYS)],
)
def test_outputs_and_every_gradient_are_those_of_keras(cell, mask, options):
    ours, theirs = twins(cell, **options)
    x, state = some_input(cell)
    assert_same(results(ours, x, state, MASKS[mask]), results(theirs, x, state, MASKS[mask]), rtol=1e-9, atol=1e-12)


@both_cells
def test_keras_copies_wraps_saves_and_loads_it(cell, tmp_path):
    layers = [keras.layers.Bidirectional(cell(4, return_sequences=True)), cell(5), keras.layers.Dense(1)]
    model, x = keras.Sequential([keras.Input([None, 3]), *layers]), np.ones([2, 6, 3], np.float32)
    model.compile(Muon(WarmupCosine(0.1, 10, 2), every=2), "mse")
    model.fit(x, x[:, 0, :1], verbose=0)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), model.predict(x, verbose=0))
    assert isinstance(loaded.layers[1], cell) and isinstance(keras.models.clone_model(model).layers[1], cell)
    assert loaded.optimizer.every == 2 and loaded.optimizer.iterations == 1


@both_cells
@pytest.mark.parametrize("is_avx2_only", [True, False])
def test_the_products_of_processors_with_and_without_avx512_give_the_same(cell, is_avx2_only, monkeypatch):
    ours, theirs = twins(cell)
    x, state = some_input(cell)
    monkeypatch.setattr(recurrent, "IS_AVX2_ONLY", is_avx2_only)
    assert_same(results(ours, x, state), results(theirs, x, state), rtol=1e-9, atol=1e-12)


@both_cells
@pytest.mark.parametrize("length", [1, 2, 33])
def test_any_length_will_do(cell, length):
    ours, theirs = twins(cell)
    x, state = some_input(cell, length=length)
    assert_same(results(ours, x, state), results(theirs, x, state), rtol=1e-9, atol=1e-12)


@both_cells
def test_line_by_line_is_the_same_as_compiled(cell):
    ours, _ = twins(cell)
    x, state = some_input(cell)
    mask = MASKS["right"]
    assert_same(results(ours, x, state, mask, compiled=False), results(ours, x, state, mask), rtol=1e-9, atol=1e-12)


@both_cells
def test_gradients_are_those_of_finite_differences(cell):
    ours, _ = twins(cell)
    x, state = some_input(cell)
    mask = MASKS["holes, and a row of nothing"]
    x, *state = (tf.Variable(part) for part in (x, *state))
    variables = [x, *state, *(weight.value for weight in ours.trainable_weights)]

    def loss():
        outputs, *final = ours(x, initial_state=state, mask=mask)
        return tf.reduce_sum(outputs**2) + tf.add_n([tf.reduce_sum(part) for part in final])

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


@both_cells
def test_one_trace_serves_all_shapes(cell):
    ours, theirs = twins(cell)
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


@both_cells
def test_low_precision_is_close_and_keeps_types(cell):
    ours, _ = twins(cell, "mixed_bfloat16")
    exact, _ = twins(cell, "float32")
    for one, other in zip(exact.weights, ours.weights, strict=True):
        one.assign(other)
    x, state = some_input(cell, "float32")
    found = results(ours, x, state)
    shown, given = 1 + len(state), 1 + len(state) + len(ours.weights)
    assert [part.dtype.name for part in found] == ["bfloat16"] * shown + ["float32"] * given
    for one, other in zip(found, results(exact, x, state), strict=True):
        scale = np.abs(other).max()
        np.testing.assert_allclose(tf.cast(one, tf.float32), other, atol=0.05 * scale)


def test_an_lstm_counts_in_low_precision():
    """Adding little to a large cell state, again and again, is what bfloat16 cannot do: 256 + 1 = 256."""
    layer = LSTM(1, return_state=True, dtype="mixed_bfloat16")
    layer.build((None, None, 1))
    layer.cell.kernel.assign([[0.0, 0.0, 20.0, 0.0]])
    layer.cell.bias.assign([20.0, 20.0, 0.0, 0.0])  # both gates open, and every input of one adds one
    *_, counted = layer(tf.ones([1, 300, 1]))
    assert float(counted[0, 0]) == pytest.approx(300, rel=0.01)


@both_cells
def test_stepping_is_calling(cell):
    ours, _ = twins(cell)
    x, state = some_input(cell)
    outputs, *final = ours(x, initial_state=state)
    for rows in (1, B):  # one row alone is multiplied in another way
        step, at = ours.make_step(), [part[:rows] for part in state]
        for t in range(T):
            at = step(ours.project(x[:rows, t]), at)
            np.testing.assert_allclose(at[0], outputs[:rows, t], rtol=1e-9)
        assert_same(at, [part[:rows] for part in final], rtol=1e-9)


@both_cells
def test_weights_and_names_are_those_of_keras(cell, tmp_path):
    ours, theirs = (
        keras.Sequential([keras.Input((None, E)), layer(U, name="layer")], name="model")
        for layer in (cell, KERAS[cell])
    )
    assert [weight.path for weight in ours.weights] == [weight.path for weight in theirs.weights]
    theirs.save_weights(tmp_path / "their.weights.h5")
    ours.load_weights(tmp_path / "their.weights.h5")
    x, _ = some_input(cell, "float32")
    np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-5, atol=1e-6)  # of numbers below one, some near zero


@both_cells
@pytest.mark.parametrize("option", ["activation", "use_bias", "dropout", "recurrent_dropout", "unroll"])
def test_what_is_not_computed_here_cannot_be_asked_for(cell, option):
    with pytest.raises(TypeError, match=option):
        cell(U, **{option: None})


@both_cells
def test_it_trains_with_fit(cell):
    losses = []
    for layer in (cell, KERAS[cell]):
        keras.utils.set_random_seed(1)
        model = keras.Sequential([keras.Input((T, E)), layer(U), keras.layers.Dense(1)])
        model.compile("adam", "mse")
        x, y = np.ones((8, T, E), "float32"), np.ones((8, 1), "float32")
        losses.append(model.fit(x, y, epochs=3, verbose=0).history["loss"])
    assert losses[0] == pytest.approx(losses[1], rel=1e-5) and losses[0][-1] < losses[0][0]


@both_cells
def test_a_mask_needs_no_warning(cell):
    x, _ = some_input(cell, "float32")
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        cell(U, return_sequences=True)(x, mask=MASKS["right"])
