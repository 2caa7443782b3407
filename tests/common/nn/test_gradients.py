from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn import gradients
from common.nn.gradients import apply_gradients


def fitted(optimizer, ids):
    """One step from fixed weights; the loss of each row is its weights' sum times 1, 2 and so on."""
    embedding = keras.layers.Embedding(4, 2, embeddings_initializer="ones")
    embedding.build(None)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(embedding(ids) * [1.0, 2.0])
    apply_gradients(optimizer, tape, loss, embedding.trainable_variables)
    return embedding.embeddings.numpy()


def test_one_step_of_gradient_descent_by_hand():
    result = fitted(keras.optimizers.SGD(0.1), tf.constant([1, 1, 3]))
    np.testing.assert_allclose(result, [[1, 1], [1 - 0.2, 1 - 0.4], [1, 1], [1 - 0.1, 1 - 0.2]], rtol=1e-6)


def test_a_row_that_occurs_twice_is_summed_before_it_is_squared():
    result = fitted(keras.optimizers.Adam(0.1, beta_2=0.5, epsilon=1e-9), tf.constant([1, 1, 3]))
    # Adam's first step has the same length for every gradient; squared one by one it would be longer by sqrt(2).
    np.testing.assert_allclose(result[1], result[3], rtol=1e-5)
    assert result[1] == pytest.approx([0.9, 0.9], abs=1e-4)


def test_the_loss_is_scaled_for_the_gradient_and_not_for_the_step():
    plain = fitted(keras.optimizers.SGD(0.1), tf.constant([1, 2]))
    scaled = fitted(keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1), 2.0**10), tf.constant([1, 2]))
    np.testing.assert_allclose(scaled, plain, rtol=1e-6)


def test_a_weight_that_the_loss_does_not_use_is_named():
    used, unused = (keras.Variable(1.0, name=name) for name in ("used", "unused"))
    with tf.GradientTape() as tape:
        loss = used * 2.0
    with pytest.raises(ValueError, match="^the loss does not depend on unused; use these weights in the call, or "):
        apply_gradients(keras.optimizers.SGD(0.1), tape, loss, [used, unused])


def test_gradients_of_replicas_are_not_summed_twice_by_a_keras_that_sums_them_elsewhere(monkeypatch):
    monkeypatch.setattr(gradients, "replica_count", lambda: 2)
    monkeypatch.setattr(gradients, "sum_over_replicas", list)
    monkeypatch.setattr(gradients, "inner_optimizer", lambda optimizer: SimpleNamespace())
    with pytest.raises(RuntimeError, match="no Optimizer._all_reduce_sum_gradients, so .* summed twice"):
        fitted(keras.optimizers.SGD(0.1), tf.constant([1]))
