import keras
import numpy as np
import pytest
import tensorflow as tf

from common.training import trainer
from examples.image_captioning.data import END, START, UNKNOWN
from examples.image_captioning.encoder import Encoder
from examples.image_captioning.model import (
    Captioner,
    TrainableCaptioner,
    cross_entropy,
    masked_mean,
    stochastic_penalty,
)

V, B, T, L, M, C, D, E, U, A = 11, 3, 5, 16, 4, 6, 7, 5, 8, 3
rng = np.random.default_rng(0)


def small_encoder():
    """Stands for a frozen network with grids of 4 x 4 and 2 x 2 cells; nothing is computed with it."""
    picture = keras.Input([4, 4, 3])
    layers = keras.layers.Conv2D(C, 1)(picture), keras.layers.Conv2D(D, 2, strides=2)(picture)
    return Encoder("small", 4, keras.Model(picture, layers))


def make(cls=Captioner, seed=1, precision="float32", **settings):
    trainer.set_seed_and_precision(seed, precision)
    encoder = small_encoder()
    architecture = {"embedding_dim": E, "units": U, "attention_units": A} | settings
    model = cls(V, encoder, **architecture).build_weights(encoder)
    model.logits.kernel.assign(rng.normal(size=model.logits.kernel.shape))  # small would hide mistakes
    return model


def make_batch(lengths=(T, T, 2)):
    source = rng.normal(size=(B, L * C + M * D)).astype("float16")
    ids = rng.integers(4, V, size=(B, T + 1)).astype("int32")
    ids[:, 0] = START
    return source, ids[:, :-1], ids[:, 1:], np.arange(T) < np.array(lengths)[:, None]


def numpy_captioner(model, source, inputs):
    """The equations, written out, caption by caption and word by word."""

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    def dense(layer, x):
        return x @ layer.kernel.numpy() + (layer.bias.numpy() if layer.use_bias else 0)

    logits, attention = np.zeros((B, T, V)), np.zeros((B, T, L))
    for b in range(B):
        where, what = np.split(source[b].astype("float64"), [L * C])
        where, what = where.reshape(L, C), what.reshape(M, D)
        where = where / np.sqrt((where**2).mean(axis=1, keepdims=True))
        what = np.maximum(dense(model.value, what), 0)
        overview = what.mean(axis=0)
        h, c = np.split(np.tanh(dense(model.initial, overview)), 2)
        for t in range(T):
            word = model.embedding.embeddings.numpy()[inputs[b, t]]
            cell = model.reader.cell
            told = np.concatenate([word, overview]) if model.remind else word
            gates = told @ cell.kernel.numpy() + h @ cell.recurrent_kernel.numpy() + cell.bias.numpy()
            enter, keep, new, show = np.split(gates, 4)
            c = sigmoid(keep) * c + sigmoid(enter) * np.tanh(new)
            h = sigmoid(show) * np.tanh(c)
            met = np.tanh(dense(model.attention.key, where) + dense(model.attention.question, h))
            scores = dense(model.attention.score, met)[:, 0]
            weights = np.exp(scores) / np.exp(scores).sum()
            under = np.arange(M).reshape(2, 2).repeat(2, axis=0).repeat(2, axis=1).reshape(L)  # the coarse cell of each
            seen = np.concatenate([weights @ where, weights @ what[under]])
            photo = dense(model.from_seen, seen) + dense(model.from_overview, overview)
            if model.gate is not None:
                photo = sigmoid(dense(model.gate, h)) * photo
            mixed = np.tanh(dense(model.from_state, h) + photo + dense(model.from_word, word))
            logits[b, t], attention[b, t] = dense(model.logits, mixed), weights
    return logits, attention


@pytest.mark.parametrize(("gate", "remind"), [("none", False), ("scalar", True), ("vector", False)])
def test_logits_and_attention_are_those_of_the_equations(gate, remind):
    model, (source, inputs, *_) = make(gate=gate, remind=remind), make_batch()
    logits, attention = model(source, inputs)
    expected_logits, expected_attention = numpy_captioner(model, source, inputs)
    np.testing.assert_allclose(attention, expected_attention, atol=1e-5)
    np.testing.assert_allclose(logits, expected_logits, atol=1e-4)


@pytest.mark.parametrize("remind", [True, False])
def test_one_word_at_a_time_is_the_same(remind):
    model, (source, inputs, *_) = make(remind=remind), make_batch()
    logits, attention = model(source, inputs)
    memory, state = model.look(source)
    for t in range(T):
        step_logits, state, weights = model.next_word(inputs[:, t], state, memory)
        words = [END, *range(4, V)]
        np.testing.assert_allclose(step_logits.numpy()[:, words], logits.numpy()[:, t, words], atol=1e-5)
        assert (step_logits.numpy()[:, [0, 1, 3]] == -np.inf).all()  # <pad>, <start>, <unk> are never said
        np.testing.assert_allclose(weights, attention[:, t], atol=1e-6)


def test_attention_adds_up_to_one_and_depends_on_the_photo_and_on_what_was_said():
    model, (source, inputs, *_) = make(), make_batch()
    model.attention.score.kernel.assign(3 * model.attention.score.kernel)
    _, attention = model(source, inputs)
    np.testing.assert_allclose(tf.reduce_sum(attention, axis=-1), np.ones((B, T)), atol=1e-6)
    _, other = model(source[::-1], inputs)
    assert np.abs(attention - other).max() > 1e-3
    later = np.concatenate([inputs[:, :1], 14 - inputs[:, 1:]], axis=1)
    _, other = model(source, later)
    np.testing.assert_allclose(attention[:, 0], other[:, 0], atol=1e-6)  # what comes later changes nothing
    assert np.abs(attention[:, 1:] - other[:, 1:]).max() > 1e-3


def test_an_untrained_model_costs_the_logarithm_of_the_vocabulary():
    trainer.set_seed_and_precision(1, "float32")
    encoder = small_encoder()
    model = TrainableCaptioner(2500, encoder, embedding_dim=64, units=128, attention_units=32).build_weights(encoder)
    model.test_step(make_batch())
    assert float(model.mean_loss.result()) == pytest.approx(np.log(2500), rel=0.02)


def test_the_step_follows_the_gradient_and_ignores_padding():
    model, (source, inputs, targets, mask) = make(TrainableCaptioner), make_batch()
    twin = make(TrainableCaptioner)
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


def test_where_to_look_is_not_learned_from_what_is_there():
    model, (source, *_) = make(), make_batch()
    (*memory, _), state = model.look(source)
    for part, is_learned_from in ((0, True), (1, False)):
        with tf.GradientTape() as tape:
            seen, _ = model.attention(state[0][:, None], *memory)
            total = tf.reduce_sum(seen[part] ** 2)
        gradient = tape.gradient(total, model.attention.question.kernel)
        assert (gradient is not None) == is_learned_from


def test_words_that_are_not_heard_are_read_as_unknown_ones_in_training_only():
    (source, inputs, *_), model = make_batch(), make(word_dropout=0.999999)
    unknown = np.full_like(inputs, UNKNOWN)
    np.testing.assert_allclose(model(source, inputs, training=True)[0], model(source, unknown)[0], atol=1e-5)
    assert np.abs(model(source, inputs)[0] - model(source, unknown)[0]).max() > 1e-3


def test_label_smoothing_is_keras_own():
    logits, targets = rng.normal(size=(2, 3, V)).astype("float32"), rng.integers(V, size=(2, 3))
    expected = keras.losses.categorical_crossentropy(
        keras.ops.one_hot(targets, V), logits, from_logits=True, label_smoothing=0.1
    )
    surprise, spread = cross_entropy(logits, tf.constant(targets))
    np.testing.assert_allclose(0.9 * surprise + 0.1 * spread, expected, rtol=1e-5)


def test_the_penalty_is_nothing_for_attention_spread_evenly_and_counts_no_padding():
    even = np.full((1, 4, 4), 0.25, "float32")
    assert float(stochastic_penalty(even, np.ones((1, 4), bool))) == pytest.approx(0)
    on_one = np.zeros((1, 4, 4), "float32")
    on_one[..., 0] = 1
    assert float(stochastic_penalty(on_one, np.ones((1, 4), bool))) == pytest.approx(9 + 3)
    assert float(stochastic_penalty(on_one, np.array([[True, False, False, False]]))) == pytest.approx(3)


@pytest.mark.parametrize("setting", ["penalty", "looking", "label_smoothing"])
def test_each_loss_of_training_changes_the_step_and_not_the_loss_told(setting):
    batch = make_batch()

    def step(**settings):
        model = make(TrainableCaptioner, **settings)
        model.logits.kernel.assign(np.linspace(-1, 1, U * V).reshape(U, V))
        model.compile(keras.optimizers.SGD(0.1))
        loss = float(model.train_step(batch)["loss"])
        return loss, model.attention.score.kernel.numpy()

    plain, changed = step(), step(**{setting: 0.9})
    assert plain[0] == pytest.approx(changed[0], rel=1e-5) and np.abs(plain[1] - changed[1]).max() > 1e-6


def test_what_is_masked_does_not_count():
    values, mask = np.array([[1.0, 2.0, 99.0]], "float32"), np.array([[True, True, False]])
    assert masked_mean(values, mask) == 1.5 and masked_mean(values, mask & False) == 0


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_it_learns_a_batch_by_heart(precision):
    model, batch = make(TrainableCaptioner, precision=precision, looking=0.3), make_batch()
    model.compile(keras.optimizers.Adam(0.03))
    step = tf.function(model.train_step)
    losses = [float(step(batch)["loss"]) for _ in range(40)]
    trainer.set_seed_and_precision(1, "float32")
    assert losses[-1] < 0.5 < 1.5 < losses[0]
    assert all(weight.dtype == "float32" for weight in model.trainable_weights)


def test_it_trains_with_fit_as_well():
    model, batch = make(TrainableCaptioner), make_batch()
    model.compile(keras.optimizers.Adam(0.03))
    data = tf.data.Dataset.from_tensors(batch)
    history = model.fit(data.repeat(5), validation_data=data, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] and len(history["val_loss"]) == 3
