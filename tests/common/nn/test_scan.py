import numpy as np
import tensorflow as tf

from common.nn.scan import scan_time

B, T, U = 3, 5, 4
rng = np.random.default_rng(0)


def step(x, state):
    state = tf.tanh(x + 0.5 * state)
    return state, state[:, :2] * x[:, :2], tf.reduce_max(state, axis=1) > 0


def python_loop(x, state):
    results = []
    for t in range(x.shape[1]):
        state, *outputs = step(x[:, t], state)
        results.append((state, *outputs))
    return tuple(tf.stack(parts, axis=1) for parts in zip(*results, strict=True))


def test_it_equals_a_python_loop_with_its_gradients():
    x, first = (tf.constant(rng.normal(size=shape), tf.float32) for shape in ((B, T, U), (B, U)))
    like = tf.fill([B, 2], 9.0), tf.ones([B], tf.bool)

    def run(loop):
        with tf.GradientTape() as tape:
            tape.watch([x, first])
            states, outputs, flags = loop(x, first)
            total = tf.reduce_sum(states**2) + 3 * tf.reduce_sum(outputs)
        return states, outputs, flags, *tape.gradient(total, [x, first])

    expected = run(python_loop)
    for compiled in (False, True):
        loop = tf.function(run) if compiled else run
        for found, other in zip(loop(lambda x, s: scan_time(step, x, s, like)), expected, strict=True):
            assert found.dtype == other.dtype and found.shape == other.shape
            np.testing.assert_allclose(tf.cast(found, tf.float32), tf.cast(other, tf.float32), atol=1e-6)


def test_batch_and_time_may_be_unknown_when_traced():
    signature = [tf.TensorSpec([None, None, U]), tf.TensorSpec([None, U])]
    scan = tf.function(
        lambda x, s: scan_time(lambda x, s: (x + s, s), x, s, outputs_like=(s,)), input_signature=signature
    )
    states, before = scan(tf.ones([B, T, U]), tf.zeros([B, U]))
    np.testing.assert_array_equal(states[0, :, 0], np.arange(1, T + 1))
    np.testing.assert_array_equal(before[0, :, 0], np.arange(T))


def test_the_state_may_be_several_tensors():
    x = tf.constant(rng.normal(size=(B, T, U)), tf.float32)
    [sums, products], outputs = scan_time(
        lambda x, s: ([s[0] + x, s[1] * x], s[0]), x, [tf.zeros([B, U]), tf.ones([B, U])], outputs_like=(x[:, 0],)
    )
    np.testing.assert_allclose(sums, np.cumsum(x, axis=1), rtol=1e-5)
    np.testing.assert_allclose(products, np.cumprod(x, axis=1), rtol=1e-5)
    np.testing.assert_allclose(outputs[:, 1:], sums[:, :-1])


def test_the_inputs_may_be_several_tensors():
    x, y = (tf.constant(rng.normal(size=(B, T, U)), tf.float32) for _ in range(2))
    with tf.GradientTape() as tape:
        tape.watch([x, y])
        states, before = scan_time(lambda pair, s: (s * pair[0] + pair[1], s), (x, y), x[:, 0], outputs_like=(x[:, 0],))
        last = states[:, -1]
    state = x[:, 0]
    for t in range(T):
        np.testing.assert_allclose(before[:, t], state, rtol=1e-6)
        state = state * x[:, t] + y[:, t]
        np.testing.assert_allclose(states[:, t], state, rtol=1e-6)
    d_x, d_y = tape.gradient(last, [x, y])
    np.testing.assert_allclose(d_y[:, -2], x[:, -1], rtol=1e-6)
    np.testing.assert_allclose(d_x[:, -1], states[:, -2], rtol=1e-6)
