import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageDraw

from common.training import trainer
from examples.image_captioning.scene_captioner import SceneCaptioner, SmallConvNet
from examples.image_captioning.vocabulary import START
from tests.image_captioning.test_model import assert_decode_step_is_call, numpy_logits

V, B, T, E, U, A, SIZE = 9, 2, 4, 5, 6, 3, 16
CELLS, CHANNELS = 4, 96
rng = np.random.default_rng(0)


def scene(left, top):
    image = Image.new("RGB", (64, 64), (238, 238, 232))
    ImageDraw.Draw(image).rectangle((left, top, left + 15, top + 15), fill=(214, 40, 40))
    return np.asarray(image)


@pytest.fixture(scope="module")
def network():
    trainer.set_seed_and_precision(1, "float32")
    return SmallConvNet(64)


def test_location_features_are_small_outside_of_a_shape(network):
    location, _ = network(scene(24, 32)[None])
    strength = tf.norm(location, axis=-1).numpy().reshape(8, 8)
    inside = np.zeros((8, 8), bool)
    inside[4:6, 3:5] = True
    assert strength[inside].min() > 50 * strength[~inside].max()


def test_the_mean_content_feature_contains_the_position_of_a_shape(network):
    _, content = network(np.stack([scene(24, 24), scene(32, 24), scene(24, 32)]))
    here, right, down = (np.split(mean, 3) for mean in content.numpy().mean(axis=1))  # feature, times column, times row
    paper = np.split(network(np.full((1, 64, 64, 3), (238, 238, 232), np.uint8))[1].numpy().mean(axis=1)[0], 3)
    cell = 2 / 7  # in units of half a picture, from the middle of the first cell to that of the last
    moved = cell * (here[0] - paper[0])
    np.testing.assert_allclose(right[0], here[0], atol=1e-5)
    np.testing.assert_allclose(right[1] - here[1], moved, atol=1e-5)
    np.testing.assert_allclose(right[2], here[2], atol=1e-5)
    np.testing.assert_allclose(down[1], here[1], atol=1e-5)
    np.testing.assert_allclose(down[2] - here[2], moved, atol=1e-5)
    assert np.abs(moved).max() > 1e-3


def make(precision="float32", **settings):
    trainer.set_seed_and_precision(1, precision)
    model = SceneCaptioner(V, SIZE, embedding_dim=E, units=U, attention_units=A, **settings)
    model(np.zeros((1, SIZE, SIZE, 3), np.uint8), np.zeros((1, 1), np.int32))
    model.deep_output.logits.kernel.assign(rng.normal(size=(U, V)))
    return model


def make_batch():
    images = rng.integers(0, 256, size=(B, SIZE, SIZE, 3)).astype(np.uint8)
    ids = rng.integers(4, V, size=(B, T + 1)).astype(np.int32)
    ids[:, 0] = START
    return images, ids[:, :-1], ids[:, 1:], np.arange(T) < np.array([[T], [2]])


def test_logits_and_attention_are_those_of_the_equations():
    model, (images, inputs, *_) = make(), make_batch()
    logits, weights = model(images, inputs)
    location, content = (x.numpy() for x in model.image_encoder(images))
    expected = numpy_logits(model, location, content, inputs, np.arange(CELLS), feed_mean=True)
    np.testing.assert_allclose(weights, expected[1], atol=1e-5)
    np.testing.assert_allclose(logits, expected[0], atol=1e-4)
    assert model.deep_output.gate.units == U


def test_decode_step_is_call_for_one_word():
    assert_decode_step_is_call(make(), *make_batch()[:2])


def test_the_auxiliary_loss_trains_attention_on_location_context_and_word_alone():
    model, (images, inputs, targets, mask) = make(), make_batch()
    _, weights, auxiliary_inputs = model.forward(images, inputs, training=False)
    location, _ = model.image_encoder(images)
    words = model.embedding(inputs)
    np.testing.assert_allclose(auxiliary_inputs, tf.concat([tf.matmul(weights, location), words], axis=-1), atol=1e-5)
    before = [weight.numpy() for weight in model.trainable_weights]
    with tf.GradientTape() as tape:
        logits, _, auxiliary_inputs = model.forward(images, inputs, training=True)
        auxiliary_logits = model.auxiliary_logits(auxiliary_inputs)
        losses = [
            tf.boolean_mask(keras.losses.sparse_categorical_crossentropy(targets, x, from_logits=True), mask)
            for x in (logits, auxiliary_logits)
        ]
        total = tf.reduce_mean(losses[0]) + tf.reduce_mean(losses[1])
    gradients = tape.gradient(total, [weight.value for weight in model.trainable_weights])
    model.compile(keras.optimizers.SGD(1.0))
    loss = model.train_step((images, inputs, targets, mask))["loss"]
    assert float(loss) == pytest.approx(float(tf.reduce_mean(losses[0])), rel=1e-5)
    for old, new, gradient in zip(before, model.trainable_weights, gradients, strict=True):
        np.testing.assert_allclose(old - new.numpy(), tf.convert_to_tensor(gradient), atol=1e-5)


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_it_overfits_one_batch(precision):
    model, batch = make(precision), make_batch()
    model.compile(keras.optimizers.Adam(0.03))
    step = tf.function(model.train_step)
    losses = [float(step(batch)["loss"]) for _ in range(40)]
    assert losses[-1] < 0.5 < 1.5 < losses[0]
    assert all(weight.dtype == "float32" for weight in model.trainable_weights)
