import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn.adam import Adam

RNG = np.random.default_rng(0)
GRADIENTS = [RNG.normal(size=(4, 6)).astype("float32") * scale for scale in (1, 30, 0.01, 0)]


def stepped(optimizer, dtype="float32"):
    """Return a variable and the optimizer's own after a step for each gradient."""
    variable = keras.Variable(np.ones((4, 6)), dtype=dtype)
    optimizer.build([variable])
    apply = tf.function(optimizer.apply)
    for gradient in GRADIENTS:
        apply([tf.constant(gradient, dtype)])
    return [each.numpy() for each in [variable, *optimizer.variables]]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"beta_1": 0.5, "beta_2": 0.9, "epsilon": 0.1},
        {"weight_decay": 0.1, "global_clipnorm": 5.0},
        {"learning_rate": keras.optimizers.schedules.CosineDecay(0.5, 4)},
        {"amsgrad": True},
        {"use_ema": True, "ema_momentum": 0.5},
    ],
)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_steps_as_keras_own_and_keeps_the_same_variables(settings, dtype):
    ours, theirs = (stepped(make(**{"learning_rate": 0.1} | settings), dtype) for make in (Adam, keras.optimizers.Adam))
    for mine, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(mine, other, rtol=2e-5, atol=2e-5)
    assert not np.allclose(ours[0], 1)


def test_rows_of_a_sparse_gradient_with_the_same_index_are_summed():
    often = tf.IndexedSlices(tf.ones([5, 6]), tf.constant([2, 2, 2, 0, 2]), tf.constant([4, 6]))
    dense, sparse = (keras.Variable(np.zeros((4, 6), "float32")) for _ in range(2))
    for variable, gradient, make in (
        (dense, tf.convert_to_tensor(often), keras.optimizers.Adam),
        (sparse, often, Adam),
    ):
        optimizer = make(0.1, epsilon=1.0)
        optimizer.apply([gradient], [variable])
    np.testing.assert_allclose(sparse, dense, rtol=1e-5)
    assert dense.numpy()[2, 0] < dense.numpy()[0, 0] < dense.numpy()[1, 0] == 0
