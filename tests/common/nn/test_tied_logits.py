import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn.tied_logits import TiedLogits

B, T, E, V = 3, 4, 5, 7
rng = np.random.default_rng(0)


def some_logits(dtype=None):
    embedding = keras.layers.Embedding(V, E)
    embedding.build(None)
    embedding.embeddings.assign(rng.normal(size=(V, E)))
    return embedding, TiedLogits(embedding, dtype=dtype)


def test_logits_are_scaled_products_with_the_embedding():
    embedding, layer = some_logits()
    x = tf.constant(rng.normal(size=(B, T, E)), tf.float32)
    weights = tf.constant(rng.normal(size=(B, T, V)), tf.float32)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(x)
        logits = layer(x)
        plain = tf.einsum("bte,ve->btv", x, embedding.embeddings.value) / E**0.5
        totals = [tf.reduce_sum(weights * each) for each in (logits, plain)]
    np.testing.assert_allclose(logits, plain, atol=1e-5)
    gradients = [tape.gradient(total, [x, embedding.embeddings.value]) for total in totals]
    for gradient, expected in zip(*gradients, strict=True):
        np.testing.assert_allclose(gradient, expected, atol=1e-5)


@pytest.mark.parametrize("rows", [1, B])
def test_one_step_gives_the_same_logits(rows):
    _, layer = some_logits()
    x = tf.constant(rng.normal(size=(rows, E)), tf.float32)
    np.testing.assert_allclose(layer.make_step()(x), layer(x), atol=1e-6)


def test_the_matrix_is_the_embeddings_and_is_counted_once():
    embedding, layer = some_logits()
    assert [weight.path for weight in layer.weights] == [embedding.embeddings.path]
    assert len({id(weight) for weight in [*embedding.weights, *layer.weights]}) == 1


def test_low_precision_returns_float32():
    _, layer = some_logits("mixed_bfloat16")
    x = tf.cast(rng.normal(size=(B, E)), tf.bfloat16)
    assert layer(x).dtype == layer.make_step()(x).dtype == tf.float32
