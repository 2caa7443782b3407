import keras
import numpy as np
import pytest
import tensorflow as tf

from common.training import trainer
from examples.text_generation.data import contiguous_batches
from examples.text_generation.model import CharRNN, TrainableCharRNN, cross_entropy

V, B, T, U = 11, 3, 7, 6
rng = np.random.default_rng(0)


def make(cls=CharRNN, *streams, layers=2, cell="gru", dropout=0.0, seed=1):
    trainer.set_seed_and_precision(seed, "float32")
    shape = {"embedding_dim": 5, "units": U, "layers": layers}
    model = cls(V, *streams, **shape, cell=cell, dropout=dropout).build_weights()
    model.logits.kernel.assign(rng.normal(size=model.logits.kernel.shape))  # zero would make all tests of logits pass
    return model


def test_the_summary_lists_the_layers(capsys):
    make().summary()
    assert "recurrent_stack" in capsys.readouterr().out


def some_ids(length=T, batch=B):
    return rng.integers(V, size=(batch, length)).astype("int32")


def numpy_gru(model, ids):
    """The equations of Keras' GRU with reset_after, written out, layer by layer, character by character."""

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    x = model.embedding.embeddings.numpy()[ids]
    for layer in model.rnn.rnn_layers:
        kernel, recurrent, (bias, recurrent_bias) = (weight.numpy() for weight in layer.weights)
        h, outputs = np.zeros((len(ids), U)), []
        for t in range(ids.shape[1]):
            from_x, from_h = x[:, t] @ kernel + bias, h @ recurrent + recurrent_bias
            z = sigmoid(from_x[:, :U] + from_h[:, :U])
            r = sigmoid(from_x[:, U : 2 * U] + from_h[:, U : 2 * U])
            candidate = np.tanh(from_x[:, 2 * U :] + r * from_h[:, 2 * U :])
            h = z * h + (1 - z) * candidate
            outputs.append(h)
        x = np.stack(outputs, axis=1)
    return x @ model.logits.kernel.numpy() + model.logits.bias.numpy()


@pytest.mark.parametrize("cell", ["gru", keras.layers.GRU])
def test_the_logits_are_those_of_the_equations(cell):
    model, ids = make(cell=cell), some_ids()
    logits, _ = model(ids, model.initial_state(B))
    np.testing.assert_allclose(logits, numpy_gru(model, ids), atol=1e-5)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_reading_in_pieces_is_reading_at_once(cell):
    model, ids = make(cell=cell), some_ids()
    whole, final = model(ids, model.initial_state(B))
    first, state = model(ids[:, :3], model.initial_state(B))
    second, state = model(ids[:, 3:], state)
    np.testing.assert_allclose(np.concatenate([first, second], axis=1), whole, atol=1e-6)
    assert [len(layer) for layer in state] == [{"gru": 1, "lstm": 2}[cell]] * 2
    for piece, at_once in zip(tf.nest.flatten(state), tf.nest.flatten(final), strict=True):
        np.testing.assert_allclose(piece, at_once, atol=1e-6)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_decoding_one_character_at_a_time_is_the_same(cell):
    model, ids = make(cell=cell), some_ids()
    whole, _ = model(ids, model.initial_state(B))
    state, decode_step = model.initial_state(B), model.make_decode_step()
    for t in range(T):
        logits, state = decode_step(ids[:, t], state)
        np.testing.assert_allclose(logits, whole[:, t], atol=1e-5)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_an_untrained_model_costs_the_logarithm_of_the_vocabulary(cell):
    trainer.set_seed_and_precision(1, "float32")
    model = TrainableCharRNN(65, B, 2, embedding_dim=256, units=512, cell=cell, dropout=0.5).build_weights()
    ids = rng.integers(65, size=400).astype("int32")
    loss = trainer.evaluate(model, contiguous_batches(ids, streams=2, window=50))["loss"]
    assert np.log(65) - 0.005 < loss < 1.01 * np.log(65)


def test_the_test_loss_is_that_of_the_whole_text_read_with_its_state():
    model, ids = make(TrainableCharRNN, B, 1), some_ids(50, 1)
    logits, _ = model(ids[:, :-1], model.initial_state(1))
    expected = keras.losses.sparse_categorical_crossentropy(ids[:, 1:], logits, from_logits=True)
    measured = trainer.evaluate(model, contiguous_batches(ids[0], streams=1, window=6))["loss"]
    assert measured == pytest.approx(np.mean(expected), rel=1e-5)


def test_the_loss_is_the_negative_log_likelihood_in_nats():
    probabilities = np.array([[[0.7, 0.2, 0.1]]], "float32")
    assert cross_entropy(np.log(probabilities), np.array([[1]])).numpy() == pytest.approx(-np.log(0.2))


def train_one_step(model, batch):
    model.compile(keras.optimizers.SGD(1.0))
    return float(model.train_step(batch)["loss"])


@pytest.mark.parametrize(("cell", "plain"), [("gru", keras.layers.GRU), ("lstm", keras.layers.LSTM)])
def test_the_step_follows_the_gradient_of_plain_keras(cell, plain):
    model, twin = make(TrainableCharRNN, B, 2, cell=cell), make(cell=plain)
    for weight, other in zip(twin.trainable_weights, model.trainable_weights, strict=True):
        weight.assign(other)
    ids = some_ids(T + 1)
    before = [weight.numpy() for weight in model.trainable_weights]
    loss = train_one_step(model, (ids[:, :-1], ids[:, 1:], np.ones((B, T), bool), True))
    with tf.GradientTape() as tape:
        logits, _ = twin(ids[:, :-1], twin.initial_state(B))
        expected = tf.reduce_mean(keras.losses.SparseCategoricalCrossentropy(from_logits=True)(ids[:, 1:], logits))
    assert loss == pytest.approx(float(expected), rel=1e-5)
    for old, new, gradient in zip(
        before, model.trainable_weights, tape.gradient(expected, twin.trainable_weights), strict=True
    ):
        np.testing.assert_allclose(old - new.numpy(), tf.convert_to_tensor(gradient), atol=1e-5)


def test_the_state_is_carried_until_a_new_start():
    ids, mask = some_ids(T + 1), np.ones((B, T), bool)

    model = make(TrainableCharRNN, B, B)

    def loss(is_start):
        model.reset_metrics()
        return float(model.test_step((ids[:, :-1], ids[:, 1:], mask, is_start))["loss"])

    alone = loss(True)
    assert loss(False) != pytest.approx(alone, abs=1e-4)
    assert loss(True) == pytest.approx(alone)


def test_training_goes_on_from_the_state_it_ended_with():
    model, ids = make(TrainableCharRNN, B, 2), some_ids(T + 1)
    model.compile(keras.optimizers.SGD(0.0))
    mask = np.ones((B, T), bool)
    first = float(model.train_step((ids[:, :-1], ids[:, 1:], mask, True))["loss"])
    _, expected = model(ids[:, :-1], model.initial_state(B))
    for kept, tensor in zip(tf.nest.flatten(expected), model.train_state.tensors, strict=True):
        np.testing.assert_allclose(kept, tensor, atol=1e-6)
    assert float(model.train_step((ids[:, :-1], ids[:, 1:], mask, False))["loss"]) != pytest.approx(first, abs=1e-4)
    assert float(model.train_step((ids[:, :-1], ids[:, 1:], mask, True))["loss"]) == pytest.approx(first)


def test_training_ignores_what_is_masked():
    model, ids = make(TrainableCharRNN, B, 2), some_ids(T + 1)
    model.compile(keras.optimizers.SGD(0.0))
    mask = np.arange(T) < np.array([[T], [2], [0]])
    logits, _ = model(ids[:, :-1], model.initial_state(B))
    expected = cross_entropy(logits, ids[:, 1:]).numpy()[mask].mean()
    assert float(model.train_step((ids[:, :-1], ids[:, 1:], mask, True))["loss"]) == pytest.approx(expected, rel=1e-5)


def test_repeated_characters_move_the_embedding_by_their_summed_gradient():
    """Adam's first step is as long as the learning rate, whatever the gradient; sparse, it would be ten times that."""
    model = make(TrainableCharRNN, 1, 1, layers=1)
    model.compile(keras.optimizers.Adam(0.001))
    before = model.embedding.embeddings.numpy()
    ids = np.zeros((1, 101), "int32")
    model.train_step((ids[:, :-1], ids[:, 1:], np.ones((1, 100), bool), True))
    assert np.abs(model.embedding.embeddings.numpy() - before).max() == pytest.approx(0.001, rel=0.01)


def test_it_learns_a_text_by_heart():
    model = make(TrainableCharRNN, 4, 1, layers=1)
    model.compile(keras.optimizers.Adam(0.02))
    ids = np.tile(np.array([1, 5, 2, 8, 3, 3, 9, 0], "int32"), 20)
    batches = contiguous_batches(ids, streams=4, window=10)
    step = tf.function(model.train_step)
    losses = [float(step(batch)["loss"]) for _ in range(40) for batch in batches]
    assert losses[-1] < 0.1 < 1.0 < losses[0]


def test_it_trains_with_fit_as_well():
    model = make(TrainableCharRNN, 4, 2)
    model.logits.kernel.assign(0.01 * model.logits.kernel)
    model.compile(keras.optimizers.Adam(0.02))
    ids = np.tile(np.array([1, 5, 2, 8, 3, 3, 9, 0], "int32"), 20)
    train, test = contiguous_batches(ids, streams=4, window=10), contiguous_batches(ids, streams=2, window=10)
    history = model.fit(train, validation_data=test, epochs=5, verbose=0).history
    assert history["loss"][0] == pytest.approx(np.log(V), abs=0.3) and history["loss"][-1] < history["loss"][0]
    assert history["val_loss"][-1] == pytest.approx(trainer.evaluate(model, test)["loss"], rel=1e-5)


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_low_precision_trains_too(precision):
    trainer.set_seed_and_precision(1, precision)
    model = TrainableCharRNN(V, B, 2, embedding_dim=5, units=U, layers=1).build_weights()
    model.compile(keras.optimizers.Adam(0.02))
    ids = some_ids(T + 1)
    batch = (ids[:, :-1], ids[:, 1:], np.ones((B, T), bool), True)
    losses = [float(model.train_step(batch)["loss"]) for _ in range(30)]
    assert losses[0] == pytest.approx(np.log(V), abs=0.1) and losses[-1] < 0.8 * losses[0]
    assert all(weight.dtype == "float32" for weight in model.trainable_weights)
