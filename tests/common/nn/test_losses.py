import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn.losses import masked_mean, smoothed_cross_entropy


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_it_is_keras_cross_entropy(smoothing):
    rng = np.random.default_rng(1)
    logits, targets = rng.normal(0, 3, [2, 5, 7]).astype("float32"), rng.integers(0, 7, [2, 5])
    smoothed, nll = smoothed_cross_entropy(tf.constant(logits), tf.constant(targets, tf.int32), smoothing)
    one_hot = np.eye(7)[targets]
    keras_loss = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing, reduction=None)
    np.testing.assert_allclose(smoothed, keras_loss(one_hot, logits), rtol=1e-5)
    np.testing.assert_allclose(nll, keras.losses.categorical_crossentropy(one_hot, logits, from_logits=True), rtol=1e-5)


def test_a_masked_mean_counts_only_what_is_not_masked():
    values = tf.constant([[1.0, 2.0, 100.0], [6.0, 100.0, 100.0]])
    mask = tf.constant([[True, True, False], [True, False, False]])
    assert float(masked_mean(values, mask)) == 3.0
    assert float(masked_mean(values, tf.zeros_like(mask))) == 0.0
