import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn.dropout import Dropout


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_mask_is_that_of_keras_in_float32(dtype):
    x = tf.random.stateless_uniform([100, 100], [1, 2], 1, 2)
    keras.utils.set_random_seed(3)
    layer = Dropout(0.4, dtype=dtype)
    keras.utils.set_random_seed(3)
    dropout = keras.layers.Dropout(0.4, dtype="float32")
    for _ in range(2):  # the second call draws anew
        expected, found = dropout(x, training=True), layer(x, training=True)
        assert found.dtype == dtype
        np.testing.assert_allclose(tf.cast(found, tf.float32), expected, rtol=1e-6 if dtype == "float32" else 0.02)
    np.testing.assert_array_equal(layer(x), tf.cast(x, dtype))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_the_fraction_of_zeros_is_the_rate(dtype):
    keras.utils.set_random_seed(3)
    ones = tf.ones([1000, 1000], dtype)
    for rate in (0.01, 0.4):
        assert np.mean(Dropout(rate, dtype=dtype)(ones, training=True) == 0) == pytest.approx(rate, abs=0.002)


def test_the_gradient_is_that_of_keras():
    x, gradients = tf.Variable(tf.ones([50, 50])), []
    for make in (Dropout, keras.layers.Dropout):
        keras.utils.set_random_seed(3)
        layer = make(0.3)
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(layer(x, training=True) ** 2)
        gradients.append(tape.gradient(total, x))
    np.testing.assert_allclose(*gradients, rtol=1e-6)
