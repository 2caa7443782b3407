import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn.gradient_penalty import INTERVAL, lazy_r1_penalty, r1_penalty


def linear():
    network = keras.Sequential([keras.Input([2, 2, 1]), keras.layers.Flatten(), keras.layers.Dense(1)])
    network.layers[-1].kernel.assign([[1.0], [-2.0], [0.5], [3.0]])
    return network


IMAGES = tf.reshape(tf.range(12, dtype=tf.float32), [3, 2, 2, 1])
SQUARED_NORM = 1 + 4 + 0.25 + 9  # of the kernel, which is the gradient of a linear discriminator, whatever the image


def test_by_hand_for_a_linear_discriminator():
    assert float(r1_penalty(linear(), IMAGES)) == pytest.approx(SQUARED_NORM / 2)


def test_the_penalty_has_a_gradient_by_hand():
    network = linear()
    with tf.GradientTape() as tape:
        penalty = r1_penalty(network, IMAGES)
    kernel = network.layers[-1].kernel
    np.testing.assert_allclose(tape.gradient(penalty, kernel.value), kernel.numpy(), rtol=1e-6)  # d/dw of |w|^2 / 2


def test_with_batch_norm_against_finite_differences():
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Flatten(), keras.layers.Dense(3), keras.layers.BatchNormalization()]
    network = keras.Sequential(
        [keras.Input([2, 2, 1]), *layers, keras.layers.Activation("tanh"), keras.layers.Dense(1)]
    )
    images = tf.random.stateless_normal([5, 2, 2, 1], seed=[1, 2])

    def logits(pixels):
        return float(tf.reduce_sum(network(tf.reshape(pixels, images.shape), training=True)))

    pixels, epsilon = images.numpy().reshape(-1).astype("float64"), 1e-2
    gradient = [(logits(pixels + epsilon * e) - logits(pixels - epsilon * e)) / (2 * epsilon) for e in np.eye(20)]
    assert float(r1_penalty(network, images)) == pytest.approx(np.sum(np.square(gradient)) / 5 / 2, rel=1e-2)


@pytest.mark.parametrize("compiled", [False, True])
def test_the_lazy_penalty_has_the_same_mean_over_the_steps(compiled):
    network = linear()
    penalty = tf.function(lazy_r1_penalty) if compiled else lazy_r1_penalty
    values = [float(penalty(network, IMAGES, 2.0, tf.constant(step))) for step in range(2 * INTERVAL)]
    assert [value > 0 for value in values] == [True, False, False, False] * 2
    assert np.mean(values) == pytest.approx(2 * SQUARED_NORM / 2)


def test_without_weight_nothing_is_computed():
    assert float(lazy_r1_penalty(None, IMAGES, 0.0, tf.constant(0))) == 0
