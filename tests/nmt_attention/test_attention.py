import numpy as np
import pytest
import tensorflow as tf

from examples.nmt_attention.attention import BahdanauAttention

B, S, A, Q, D = 4, 6, 5, 7, 3
rng = np.random.default_rng(0)
MASK = np.arange(S) < np.array([[6], [3], [1], [4]])


def some(*shape):
    return rng.normal(size=shape).astype("float32")


@pytest.fixture
def attention():
    layer = BahdanauAttention(A)
    layer(some(B, Q), layer.project_keys(some(B, S, D)), some(B, S, D), MASK)
    for weight in layer.weights:
        weight.assign(some(*weight.shape))
    return layer


def by_hand(layer, query, values, mask):
    """The equations of Bahdanau et al. 2015, A.1.2, one row, one source word at a time."""
    w, u, bias, v = (
        weight.numpy() for weight in (layer.query_projection.kernel, *layer.key_projection.weights, layer.energy.kernel)
    )
    contexts, weights = np.zeros((len(query), values.shape[-1])), np.zeros(mask.shape)
    for row in range(len(query)):
        words = np.flatnonzero(mask[row])
        e = np.array([(np.tanh(query[row] @ w + values[row, j] @ u + bias) @ v)[0] for j in words], "float64")
        weights[row, words] = np.exp(e) / np.exp(e).sum()
        contexts[row] = sum(weights[row, j] * values[row, j] for j in words)
    return contexts, weights


def test_it_equals_the_equations(attention):
    query, values = some(B, Q), some(B, S, D)
    context, weights = attention(query, attention.project_keys(values), values, MASK)
    expected_context, expected_weights = by_hand(attention, query, values, MASK)
    np.testing.assert_allclose(context, expected_context, atol=1e-5)
    np.testing.assert_allclose(weights, expected_weights, atol=1e-5)


def test_what_is_masked_gets_exactly_zero_and_decides_nothing(attention):
    query, values = some(B, Q), some(B, S, D)
    context, weights = attention(query, attention.project_keys(values), values, MASK)
    assert (weights.numpy()[~MASK] == 0).all() and (weights.numpy()[MASK] > 0).all()
    np.testing.assert_allclose(tf.reduce_sum(weights, axis=1), 1, rtol=1e-6)
    other = np.where(MASK[..., None], values, 1e6).astype("float32")  # whatever stands in the padding
    same_context, same_weights = attention(query, attention.project_keys(other), other, MASK)
    np.testing.assert_array_equal(same_weights, weights)
    np.testing.assert_allclose(same_context, context, rtol=1e-6)


def test_it_keeps_nothing_on_itself(attention):
    query, values = some(B, Q), some(B, S, D)
    before = dict(vars(attention))
    attention(query, attention.project_keys(values), values, MASK)
    assert {name: value for name, value in vars(attention).items() if value is not before.get(name)} == {}


def test_it_works_in_a_model_of_ones_own():
    import keras

    class Picker(keras.Model):
        """Learns to pick the value whose key is like the query."""

        def __init__(self):
            super().__init__()
            self.attention = BahdanauAttention(16)

        def call(self, inputs):
            query, values = inputs
            context, _ = self.attention(query, self.attention.project_keys(values), values, tf.ones([64, 3], bool))
            return context

    training = np.random.default_rng(1)
    values = training.normal(size=(64, 3, 2)).astype("float32")
    chosen = values[np.arange(64), training.integers(3, size=64)]
    model = Picker()
    model.compile(keras.optimizers.Adam(0.05), "mse")
    history = model.fit([chosen, values], chosen, epochs=60, batch_size=64, verbose=0).history["loss"]
    assert history[-1] < 0.5 * history[0]
