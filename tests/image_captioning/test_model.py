import keras
import numpy as np
import pytest
import tensorflow as tf

from common.training import trainer
from examples.image_captioning.feature_grids import FeatureGrids
from examples.image_captioning.model import Captioner, DeepOutput, doubly_stochastic_loss
from examples.image_captioning.vocabulary import START, UNKNOWN

V, B, T, L, M, C, D, E, U, A = 11, 3, 5, 16, 4, 6, 7, 5, 8, 3
rng = np.random.default_rng(0)


def make(seed=1, precision="float32", vocabulary_size=V, **settings):
    trainer.set_seed_and_precision(seed, precision)
    sizes = {"embedding_dim": E, "units": U, "attention_units": A} | settings
    model = Captioner(vocabulary_size, FeatureGrids((L, C), (M, D)), **sizes)
    model(np.zeros((1, L * C + M * D), "float16"), np.zeros((1, 1), np.int32))
    if vocabulary_size == V:
        kernel = model.deep_output.logits.kernel
        kernel.assign(rng.normal(size=kernel.shape))  # small initial logits would hide mistakes
    return model


def make_batch(lengths=(T, T, 2)):
    source = rng.normal(size=(B, L * C + M * D)).astype("float16")
    ids = rng.integers(4, V, size=(B, T + 1)).astype("int32")
    ids[:, 0] = START
    return source, ids[:, :-1], ids[:, 1:], np.arange(T) < np.array(lengths)[:, None]


def dense(layer, x):
    return x @ layer.kernel.numpy() + (layer.bias.numpy() if layer.use_bias else 0)


def numpy_logits(model, location, content, inputs, coarse_cells, feed_mean=False):
    """The equations, written out, caption by caption and word by word.

    `coarse_cells` is m(l); with `feed_mean`, the LSTM gets the mean feature with every word.
    """

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    captions, words = inputs.shape
    output = model.deep_output
    logits = np.zeros((captions, words, output.logits.units))
    attention = np.zeros((captions, words, location.shape[1]))
    for b in range(captions):
        v = location[b].astype("float64")
        u = np.maximum(dense(model.value_projection, content[b].astype("float64")), 0)
        g = u.mean(axis=0)
        h, c = np.split(np.tanh(dense(model.initial_state, g)), 2)
        for t in range(words):
            word = model.embedding.embeddings.numpy()[inputs[b, t]]
            cell = model.lstm.cell
            x = np.concatenate([word, g]) if feed_mean else word
            gates = x @ cell.kernel.numpy() + h @ cell.recurrent_kernel.numpy() + cell.bias.numpy()
            i, f, n, o = np.split(gates, 4)
            c = sigmoid(f) * c + sigmoid(i) * np.tanh(n)
            h = sigmoid(o) * np.tanh(c)
            keys, query = dense(model.attention.key_projection, v), dense(model.attention.query_projection, h)
            energies = dense(model.attention.energy, np.tanh(keys + query))[:, 0]
            alpha = np.exp(energies) / np.exp(energies).sum()
            z = np.concatenate([alpha @ v, alpha @ u[coarse_cells]])
            beta = sigmoid(dense(output.gate, h))
            image = beta * (dense(output.context_projection, z) + dense(output.mean_projection, g))
            y = np.tanh(dense(output.hidden_projection, h) + image + dense(output.word_projection, word))
            logits[b, t], attention[b, t] = dense(output.logits, y), alpha
    return logits, attention


def test_logits_and_attention_are_those_of_the_equations():
    model, (source, inputs, *_) = make(), make_batch()
    logits, attention = model(source, inputs)
    location, content = np.split(source.astype("float64"), [L * C], axis=1)
    location, content = location.reshape(B, L, C), content.reshape(B, M, D)
    location = location / np.sqrt((location**2).mean(axis=-1, keepdims=True))
    coarse_cells = np.arange(M).reshape(2, 2).repeat(2, axis=0).repeat(2, axis=1).reshape(L)
    expected_logits, expected_attention = numpy_logits(model, location, content, inputs, coarse_cells)
    np.testing.assert_allclose(attention, expected_attention, atol=1e-5)
    np.testing.assert_allclose(logits, expected_logits, atol=1e-4)


def test_deep_output_and_its_gradients_are_those_of_equation_7():
    layer = DeepOutput(V, U, dropout=0.0)
    h, z, g, word = (tf.constant(rng.normal(size=s), "float32") for s in ((B, T, U), (B, T, C), (B, U), (B, T, E)))
    layer(h, z, g, word)
    variables = [weight.value for weight in layer.trainable_weights]

    def plain():
        kernels = {name: getattr(layer, name).kernel.value for name in (
            "hidden_projection", "context_projection", "mean_projection", "word_projection", "logits"
        )}  # fmt: skip
        beta = tf.sigmoid(tf.reduce_sum(h * layer.gate.kernel.value[:, 0], -1) + layer.gate.bias.value)  # B T
        image = z @ kernels["context_projection"] + (g @ kernels["mean_projection"])[:, None]
        word_part = word @ kernels["word_projection"] + layer.word_projection.bias.value
        x = tf.tanh(h @ kernels["hidden_projection"] + beta[..., None] * image + word_part)
        return x @ kernels["logits"] + layer.logits.bias.value

    results = []
    for function in (lambda: layer(h, z, g, word), plain):
        with tf.GradientTape() as tape:
            logits = function()
            total = tf.reduce_sum(logits**2)
        results.append([logits, *tape.gradient(total, variables)])
    for ours, expected in zip(*results, strict=True):
        np.testing.assert_allclose(ours, expected, rtol=1e-4, atol=1e-4)


def assert_decode_step_is_call(model, images, inputs):
    logits, weights = model(images, inputs)
    image, state = model.encode(images)
    for t in range(inputs.shape[1]):
        step_logits, state, step_weights = model.decode_step(inputs[:, t], state, image)
        np.testing.assert_allclose(step_logits, logits[:, t], atol=1e-5)
        np.testing.assert_allclose(step_weights, weights[:, t], atol=1e-6)


def test_decode_step_is_call_for_one_word():
    assert_decode_step_is_call(make(), *make_batch()[:2])


def test_attention_adds_up_to_one_and_depends_on_the_photo_and_on_what_was_said():
    model, (source, inputs, *_) = make(), make_batch()
    model.attention.energy.kernel.assign(3 * model.attention.energy.kernel)
    _, attention = model(source, inputs)
    np.testing.assert_allclose(tf.reduce_sum(attention, axis=-1), np.ones((B, T)), atol=1e-6)
    _, other = model(source[::-1], inputs)
    assert np.abs(attention - other).max() > 1e-3
    later = np.concatenate([inputs[:, :1], 14 - inputs[:, 1:]], axis=1)
    _, other = model(source, later)
    np.testing.assert_allclose(attention[:, 0], other[:, 0], atol=1e-6)  # what comes later changes nothing
    assert np.abs(attention[:, 1:] - other[:, 1:]).max() > 1e-3


def test_an_untrained_model_costs_the_logarithm_of_the_vocabulary():
    model = make(vocabulary_size=2500, embedding_dim=64, units=128, attention_units=32)
    model.test_step(make_batch())
    assert float(model.mean_loss.result()) == pytest.approx(np.log(2500), rel=0.02)


def test_the_step_follows_the_gradient_and_ignores_padding():
    model, (source, inputs, targets, mask) = make(), make_batch()
    twin = make()
    for weight, other in zip(twin.trainable_weights, model.trainable_weights, strict=True):
        weight.assign(other)
    before = [weight.numpy() for weight in model.trainable_weights]
    model.compile(keras.optimizers.SGD(1.0))
    loss = float(model.train_step((source, inputs, targets, mask))["loss"])
    with tf.GradientTape() as tape:
        logits, _ = twin(source, inputs)
        each = keras.losses.sparse_categorical_crossentropy(targets, logits, from_logits=True)
        expected = tf.reduce_mean(tf.boolean_mask(each, mask))
    gradients = tape.gradient(expected, twin.trainable_variables)
    assert loss == pytest.approx(float(expected), rel=1e-5)
    for old, new, gradient in zip(before, model.trainable_weights, gradients, strict=True):
        np.testing.assert_allclose(old - new.numpy(), tf.convert_to_tensor(gradient), atol=1e-5)


def test_only_location_features_train_the_attention_weights():
    model, (source, *_) = make(), make_batch()
    image, state = model.encode(source)
    for part, is_trained in ((0, True), (1, False)):
        with tf.GradientTape() as tape:
            *context, _ = model.attention(state[0][:, None], image)
            total = tf.reduce_sum(context[part] ** 2)
        gradient = tape.gradient(total, model.attention.query_projection.kernel.value)
        assert (gradient is not None) == is_trained


def test_dropped_words_are_unknown_words_in_training_only():
    (source, inputs, *_), model = make_batch(), make(word_dropout=0.999999)
    unknown = np.full_like(inputs, UNKNOWN)
    np.testing.assert_allclose(model(source, inputs, training=True)[0], model(source, unknown)[0], atol=1e-5)
    assert np.abs(model(source, inputs)[0] - model(source, unknown)[0]).max() > 1e-3


def test_the_doubly_stochastic_loss_is_0_for_uniform_attention_and_ignores_padding():
    even = np.full((1, 4, 4), 0.25, "float32")
    assert float(doubly_stochastic_loss(even, np.ones((1, 4), bool))) == pytest.approx(0)
    on_one = np.zeros((1, 4, 4), "float32")
    on_one[..., 0] = 1
    assert float(doubly_stochastic_loss(on_one, np.ones((1, 4), bool))) == pytest.approx(9 + 3)
    assert float(doubly_stochastic_loss(on_one, np.array([[True, False, False, False]]))) == pytest.approx(3)


@pytest.mark.parametrize("setting", ["doubly_stochastic_weight", "label_smoothing"])
def test_each_term_of_the_loss_changes_the_step_and_not_the_loss_returned(setting):
    batch = make_batch()

    def step(**settings):
        model = make(**settings)
        model.deep_output.logits.kernel.assign(np.linspace(-1, 1, U * V).reshape(U, V))
        model.compile(keras.optimizers.SGD(0.1))
        loss = float(model.train_step(batch)["loss"])
        return loss, model.attention.energy.kernel.numpy()

    plain, changed = step(), step(**{setting: 0.9})
    assert plain[0] == pytest.approx(changed[0], rel=1e-5) and np.abs(plain[1] - changed[1]).max() > 1e-6


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_it_overfits_one_batch(precision):
    model, batch = make(precision=precision), make_batch()
    model.compile(keras.optimizers.Adam(0.03))
    step = tf.function(model.train_step)
    losses = [float(step(batch)["loss"]) for _ in range(40)]
    assert losses[-1] < 0.5 < 1.5 < losses[0]
    assert all(weight.dtype == "float32" for weight in model.trainable_weights)


def test_it_trains_with_fit_as_well():
    model, batch = make(), make_batch()
    model.compile(keras.optimizers.Adam(0.03))
    data = tf.data.Dataset.from_tensors(batch)
    history = model.fit(data.repeat(5), validation_data=data, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] and len(history["val_loss"]) == 3
