import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn.losses import smoothed_cross_entropy
from common.nn.recurrent import GRU
from common.training import trainer
from examples.nmt_attention.data import EncodedPairs, build_tokenizer
from examples.nmt_attention.demo import SentenceTranslator, translate_ids
from examples.nmt_attention.model import Translator, shift_right
from examples.nmt_attention.preprocess.tokenizer import END, PAD, START, WordTokenizer

V, E, U, D = 13, 6, 4, 5
rng = np.random.default_rng(0)


def make(dropout=0.0, label_smoothing=0.0, seed=1, size=V):
    trainer.set_seed_and_precision(seed, "float32")
    model = Translator(size, size, E, U, D, 4, dropout, label_smoothing).build_weights()
    for weight in model.trainable_weights:  # far from the small initial values, so that mistakes show
        weight.assign(np.random.default_rng(seed).normal(size=weight.shape) * 0.7)
    return model


def batch(lengths=((5, 4), (3, 2), (1, 6))):
    def padded(side):
        longest = max(pair[side] for pair in lengths)
        rows = [[*rng.integers(END + 1, V, size=n[side] - side), *[END] * side] for n in lengths]
        return np.array([row + [PAD] * (longest - len(row)) for row in rows], "int32")

    return tf.constant(padded(0)), tf.constant(padded(1))


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def numpy_logits(model, source, words):
    """The equations, written out for one sentence without padding."""
    encoder, decoder = model.encoder, model.decoder

    def gru(layer, xs):
        kernel, recurrent, (bias, recurrent_bias) = (weight.numpy() for weight in layer.weights)
        h, states = np.zeros(U), []
        for x in xs:
            zx, rx, nx = np.split(x @ kernel + bias, 3)
            zh, rh, nh = np.split(h @ recurrent + recurrent_bias, 3)
            z = sigmoid(zx + zh)
            h = z * h + (1 - z) * np.tanh(nx + sigmoid(rx + rh) * nh)
            states.append(h)
        return np.array(states)

    def dense(layer, x):
        kernel, *bias = (weight.numpy() for weight in layer.weights)
        return x @ kernel + (bias[0] if bias else 0)

    xs = encoder.embedding.embeddings.numpy()[source]
    values = np.concatenate([gru(encoder.forward_gru, xs), gru(encoder.backward_gru, xs[::-1])[::-1]], axis=1)
    table = decoder.embedding.embeddings.numpy()
    state, logits = np.tanh(dense(decoder.state_projection, values.mean(axis=0))), []
    for word in words:
        attention = decoder.attention
        query = np.concatenate([state, table[word]])
        compared = np.tanh(dense(attention.query_projection, query) + dense(attention.key_projection, values))
        e = dense(attention.energy, compared)[:, 0]
        context = (np.exp(e) / np.exp(e).sum()) @ values
        cell = decoder.gru_cell
        projected = dense(cell.input_projection, table[word]) + dense(cell.context_projection, context)
        zw, rw, nw = np.split(projected, 3)
        zs, rs, ns = np.split(dense(cell.state_projection, state), 3)
        z = sigmoid(zw + zs)
        state = z * state + (1 - z) * np.tanh(nw + sigmoid(rw + rs) * ns)
        readout = dense(decoder.readout, np.concatenate([table[word], state, context]))
        logits.append(readout @ table.T / np.sqrt(E))
    return np.array(logits)


def test_the_logits_are_those_of_the_equations_whatever_the_padding():
    model, (source, target) = make(), batch()
    words = shift_right(target)
    logits, _ = model(source, words)
    for row, (read, written) in enumerate(((5, 4), (3, 2), (1, 6))):
        expected = numpy_logits(model, source[row, :read].numpy(), words[row, :written].numpy())
        np.testing.assert_allclose(logits[row, :written], expected, atol=1e-5)


def test_decode_steps_return_the_logits_of_teacher_forcing():
    model, (source, target) = make(), batch()
    mask, words = source != PAD, shift_right(target)
    logits, weights = model(source, words)
    values = model.encoder(source, mask)
    memory, state = model.decoder.prepare_attention(values, mask), model.decoder.initial_state(values, mask)
    decode_step = model.decoder.make_decode_step()
    for t in range(target.shape[1]):
        step_logits, state, step_weights = decode_step(words[:, t], state, memory)
        np.testing.assert_allclose(step_logits, logits[:, t], atol=1e-5)
        np.testing.assert_allclose(step_weights, weights[:, t], atol=1e-6)


def test_no_attention_falls_on_padding():
    model, (source, target) = make(), batch()
    _, weights = model(source, shift_right(target))
    on_padding = np.broadcast_to((source.numpy() == PAD)[:, None], weights.shape)
    assert (weights.numpy()[on_padding] == 0).all()
    np.testing.assert_allclose(tf.reduce_sum(weights, axis=-1), 1, rtol=1e-5)


def test_decoder_inputs_are_the_targets_shifted_right():
    assert shift_right(tf.constant([[7, 8, END]])).numpy().tolist() == [[START, 7, 8]]


def test_the_untrained_loss_is_near_that_of_guessing():
    trainer.set_seed_and_precision(1, "float32")
    model = Translator(1000, 1000, 64, 32, 64, 32).build_weights()
    source, target = tf.constant(rng.integers(4, 1000, (32, 9)), tf.int32), tf.constant(rng.integers(4, 1000, (32, 9)))
    loss = float(model.test_step((source, tf.cast(target, tf.int32)))["loss"])
    assert loss == pytest.approx(np.log(1000), rel=0.03)


def test_the_step_follows_the_gradient_of_the_smoothed_loss_and_reports_the_plain_one():
    model, twin, (source, target) = make(label_smoothing=0.1), make(), batch()
    model.compile(keras.optimizers.SGD(1.0))
    before = [weight.numpy() for weight in model.trainable_weights]
    loss = float(model.train_step((source, target))["loss"])
    weights = tf.cast(target != PAD, tf.float32)
    with tf.GradientTape() as tape:
        logits, _ = twin(source, shift_right(target))
        smoothed = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.1, reduction="none")
        losses = smoothed(tf.one_hot(target, V), logits)
        expected = tf.reduce_sum(losses * weights) / tf.reduce_sum(weights)
    plain = keras.losses.sparse_categorical_crossentropy(target, logits, from_logits=True)
    assert loss == pytest.approx(float(tf.reduce_sum(plain * weights) / tf.reduce_sum(weights)), rel=1e-5)
    gradients = tape.gradient(expected, twin.trainable_variables)
    for old, new, gradient in zip(before, model.trainable_weights, gradients, strict=True):
        np.testing.assert_allclose(old - new.numpy(), tf.convert_to_tensor(gradient), atol=2e-5)


def test_a_batch_gives_each_sentence_the_translation_it_gets_alone():
    model, (source, _) = make(seed=3), batch(((5, 1), (3, 1), (1, 1), (4, 1)))
    for beam in (1, 3):
        together = translate_ids(model, source, beam)
        for row, length in enumerate((5, 3, 1, 4)):
            alone = translate_ids(model, source[row : row + 1, :length], beam)
            for k in range(beam):
                n = int(alone.lengths[0, k])
                assert n == together.lengths[row, k] <= 2 * length + 10
                np.testing.assert_array_equal(together.ids[row, k, :n], alone.ids[0, k, :n])
                np.testing.assert_allclose(
                    together.attention[row, k, :n, :length], alone.attention[0, k, :n], atol=1e-5
                )
            np.testing.assert_allclose(together.scores[row], alone.scores[0], atol=1e-5)


@pytest.mark.parametrize("seed", range(4))
def test_a_beam_of_five_never_scores_below_greedy(seed):
    model, (source, _) = make(seed=seed), batch(((5, 1), (3, 1), (1, 1), (4, 1)))
    for length_penalty in (0.0, 1.0):
        greedy, beam = (translate_ids(model, source, width, length_penalty).scores[:, 0] for width in (1, 5))
        assert (beam >= greedy - 1e-5).numpy().all()


def test_the_score_is_the_probability_of_the_translation():
    model, (source, _) = make(seed=2), batch(((5, 1), (3, 1)))
    found = translate_ids(model, source, beam=3, length_penalty=0.0)
    for row, k in ((0, 0), (1, 2)):
        ids = found.ids[row, k, : int(found.lengths[row, k])][None]
        logits, weights = model(source[row : row + 1], shift_right(ids))
        _, nll = smoothed_cross_entropy(logits, ids, 0.0)
        assert float(found.scores[row, k]) == pytest.approx(-float(tf.reduce_sum(nll)), rel=1e-4)
        np.testing.assert_allclose(found.attention[row, k, : ids.shape[1]], weights[0], atol=1e-5)


def test_it_learns_to_reverse():
    """With nothing but attention to find the words: the copy task of sequence models, backwards."""
    trainer.set_seed_and_precision(1, "float32")
    letters = [" ".join(row) for row in np.random.default_rng(0).choice([*"abcdefgh"], size=(1200, 5))]
    pairs = [(text, " ".join(text.split()[::-1])) for text in letters]
    tokenizer = WordTokenizer.build(letters, 1)
    model = Translator(len(tokenizer), len(tokenizer), 32, 32, 64, 32).build_weights()
    model.compile(keras.optimizers.Adam(0.01))
    data = EncodedPairs(pairs, tokenizer, tokenizer)
    step = tf.function(model.train_step, input_signature=[data.batches(64, 1, 0).element_spec])
    losses = [float(step(each)["loss"]) for epoch in range(6) for each in data.batches(64, 1, epoch)]
    assert losses[0] > 2 and losses[-1] < 0.1


def test_it_trains_with_fit_as_well():
    model, (source, target) = make(), batch()
    model.compile(keras.optimizers.Adam(0.02))
    data = tf.data.Dataset.from_tensors((source, target)).repeat(5)
    history = model.fit(data, validation_data=data, epochs=3, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert history["val_loss"][-1] == pytest.approx(trainer.evaluate(model, data)["loss"], rel=1e-5)


def test_validation_counts_tokens_not_batches():
    model = make()
    model.compile(keras.optimizers.SGD(0.0))
    one, two = batch(((5, 4), (3, 2))), batch(((2, 7),))
    logits = [model(source, shift_right(target))[0] for source, target in (one, two)]
    nll = [
        smoothed_cross_entropy(each, target, 0.0)[1].numpy()[target.numpy() != PAD]
        for each, (_, target) in zip(logits, (one, two), strict=True)
    ]
    model.reset_metrics()
    model.test_step(one)
    measured = model.test_step(two)
    assert float(measured["loss"]) == pytest.approx(np.concatenate(nll).mean(), rel=1e-5)
    right = [
        (each.numpy().argmax(axis=-1) == target.numpy())[target.numpy() != PAD]
        for each, (_, target) in zip(logits, (one, two), strict=True)
    ]
    assert float(measured["accuracy"]) == pytest.approx(np.concatenate(right).mean())


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_low_precision_trains_too(precision):
    trainer.set_seed_and_precision(1, precision)
    model = Translator(V, V, E, U, D, 4, 0.1, 0.1).build_weights()
    model.compile(keras.optimizers.Adam(0.1))
    losses = [float(model.train_step(each)["loss"]) for each in [batch()] * 8]
    translate_ids(model, batch()[0], beam=2)
    assert losses[0] == pytest.approx(np.log(V), abs=0.4) and losses[-1] < 0.8 * losses[0]
    assert all(weight.dtype == "float32" for weight in model.trainable_weights)


def test_the_encoder_takes_the_gru_of_keras_as_well():
    models = [Translator(V, V, E, U, D, 4, encoder_gru=gru).build_weights() for gru in (GRU, keras.layers.GRU)]
    models[1].set_weights(models[0].get_weights())
    source, target = batch()
    logits = [model(source, shift_right(target))[0] for model in models]
    np.testing.assert_allclose(*logits, atol=1e-5)


@pytest.mark.parametrize(
    ("kinds", "length_ratio"),
    [(("words", "characters"), 5), (("words", "subwords"), 3), (("characters", "words"), 1), (("words", "words"), 1)],
)
def test_a_word_may_become_many_characters(kinds, length_ratio):
    source, target = (build_tokenizer(["a b c"], kind, 1, 50) for kind in kinds)
    model = Translator(len(source), len(target), 4, 4, 4, 4).build_weights()
    assert SentenceTranslator(model, source, target, 60).length_ratio == length_ratio
    found = translate_ids(model, tf.constant([[4, 5, 4]]), length_ratio=length_ratio)
    assert found.ids.shape[-1] == 2 * length_ratio * 3 + 10
