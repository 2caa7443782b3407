import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from common.nn.gradient_penalty import INTERVAL, r1_penalty
from common.training import trainer
from common.training.checkpoints import Checkpoints, training_variables
from examples.dcgan.data import to_unit_range, training_batches
from examples.dcgan.demo import sample_latents
from examples.dcgan.feature_maps import feature_map_sizes
from examples.dcgan.model import DCGAN, discriminator_loss, generator_loss


def build(
    image_size=28,
    channels=1,
    optimizer=lambda: keras.optimizers.Adam(2e-4, beta_1=0.5),
    precision="float32",
    r1_gamma=0.0,
):
    trainer.set_seed_and_precision(1, precision)
    size = image_size if isinstance(image_size, tuple) else (image_size, image_size)
    model = DCGAN(size, channels, base_channels=4, latent_dim=8, ema_decay=0.9, real_label=1.0).build_weights()
    model.compile(optimizer(), optimizer(), r1_gamma)
    return model


def images(count, size=28, channels=1, seed=0):
    return tf.random.stateless_uniform([count, size, size, channels], [seed, 0], -1, 1)


def test_feature_maps_halve_until_they_are_small():
    assert feature_map_sizes((28, 28)) == [(28, 28), (14, 14), (7, 7), (4, 4)]
    assert feature_map_sizes((64, 64))[-2:] == [(8, 8), (4, 4)]
    assert feature_map_sizes((50, 25)) == [(50, 25), (25, 13), (13, 7), (7, 4)]


def test_the_layers_have_the_shapes_of_the_paper():
    model = DCGAN((64, 64), 3, base_channels=128, latent_dim=100, ema_decay=0.9, real_label=1.0).build_weights()
    generator, discriminator = model.generator, model.discriminator
    assert generator.project.kernel.shape == (100, 4 * 4 * 1024)
    kernels = [layer.kernel.shape for layer in [*generator.upsample, generator.output_layer]]
    assert kernels == [(4, 4, 512, 1024), (4, 4, 256, 512), (4, 4, 128, 256), (4, 4, 3, 128)]
    kernels = [layer.kernel.shape for layer in [discriminator.input_layer, *discriminator.downsample]]
    assert kernels == [(4, 4, 3, 128), (4, 4, 128, 256), (4, 4, 256, 512), (4, 4, 512, 1024)]
    assert discriminator.output_layer.kernel.shape == (4 * 4 * 1024, 1)
    assert [norm.gamma.shape[0] for norm in generator.norms] == [1024, 512, 256, 128]
    assert [norm.gamma.shape[0] for norm in discriminator.norms] == [256, 512, 1024]  # none on the first layer


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (64, 3), (50, 1), (8, 3)])
def test_one_code_path_for_every_size(size, channels):
    model = build(size, channels)
    fake = model(sample_latents(2, 8, seed=1))
    assert fake.shape == (2, size, size, channels) and float(tf.reduce_max(tf.abs(fake))) <= 1
    for count in (4, 1):  # an epoch's last batch may be a single image
        logs = model.train_step(images(count, size, channels))
        assert all(math.isfinite(float(value)) for value in logs.values())


def test_losses_against_keras_and_by_hand():
    real, fake = tf.constant([[2.0], [-1.0]]), tf.constant([[0.5], [-3.0]])
    entropy = keras.losses.BinaryCrossentropy(from_logits=True)
    expected = entropy(tf.fill([2, 1], 0.9), real) + entropy(tf.zeros([2, 1]), fake)
    assert float(discriminator_loss(real, fake, 0.9)) == pytest.approx(float(expected), rel=1e-6)
    assert float(generator_loss(fake)) == pytest.approx(np.mean(-np.log(1 / (1 + np.exp([-0.5, 3.0])))), rel=1e-6)
    nothing = tf.zeros([3, 1])
    assert float(discriminator_loss(nothing, nothing)) == pytest.approx(2 * math.log(2), rel=1e-6)
    assert float(generator_loss(nothing)) == pytest.approx(math.log(2), rel=1e-6)


def test_an_untrained_discriminator_gives_probabilities_of_about_a_half():
    logs = build().train_step(images(64))
    assert float(logs["generator_loss"]) == pytest.approx(math.log(2), abs=0.1)
    assert float(logs["discriminator_loss"]) == pytest.approx(2 * math.log(2), abs=0.2)


@pytest.mark.parametrize("r1_gamma", [0.0, 0.5])
def test_each_network_follows_the_gradient_of_its_own_loss_only(r1_gamma):
    model, rate = build(optimizer=lambda: keras.optimizers.SGD(0.1), r1_gamma=r1_gamma), 0.1
    real = images(6)
    seed = model.seed_generator.state.numpy()
    with tf.GradientTape(persistent=True) as tape:  # the textbook way: separate passes
        fake = model.generator(keras.random.normal([6, 8], seed=model.seed_generator), training=True)
        loss_g = tf.reduce_mean(-tf.math.log_sigmoid(model.discriminator(fake, training=True)))
        loss_d = tf.reduce_mean(-tf.math.log_sigmoid(model.discriminator(real, training=True)))
        loss_d += tf.reduce_mean(-tf.math.log_sigmoid(-model.discriminator(fake, training=True)))
        penalized_loss_d = loss_d + INTERVAL * r1_gamma * r1_penalty(model.discriminator, real)
    expected = [
        (variable, variable.numpy() - rate * gradient.numpy())
        for network, loss in ((model.generator, loss_g), (model.discriminator, penalized_loss_d))
        for variable, gradient in zip(
            network.trainable_variables, tape.gradient(loss, network.trainable_variables), strict=True
        )
    ]
    model.seed_generator.state.assign(seed)
    logs = model.train_step(real)
    assert float(logs["generator_loss"]) == pytest.approx(float(loss_g), rel=1e-5)
    assert float(logs["discriminator_loss"]) == pytest.approx(float(loss_d), rel=1e-5)
    for variable, value in expected:
        np.testing.assert_allclose(variable.numpy(), value, atol=1e-6)


def test_the_ema_follows_by_hand():
    model = build()
    kernel, mean = model.generator.project.kernel, model.ema_generator.averaged_network.project.kernel
    expected = kernel.numpy()
    np.testing.assert_array_equal(mean.numpy(), expected)
    for step in (1, 2, 3):
        model.train_step(images(4))
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * kernel.numpy()
    np.testing.assert_allclose(mean.numpy(), expected, rtol=1e-5)
    assert not np.allclose(mean.numpy(), kernel.numpy(), rtol=1e-5)


def test_latents_networks_and_optimizers_continue_after_a_restore(tmp_path):
    model = build()
    checkpoints = Checkpoints(tmp_path, **training_variables(model))
    model.train_step(images(4))
    checkpoints.save("latest", 1, {})
    expected = [{name: float(value) for name, value in model.train_step(images(4)).items()} for _ in range(2)]
    weights = [variable.numpy() for variable in model.variables]

    again = build()
    Checkpoints(tmp_path, **training_variables(again)).restore("latest")
    assert [{name: float(value) for name, value in again.train_step(images(4)).items()} for _ in range(2)] == expected
    assert all((mine.numpy() == theirs).all() for mine, theirs in zip(again.variables, weights, strict=True))
    assert expected[0]["generator_loss"] != expected[1]["generator_loss"]  # the latents are new in every step


def test_it_trains_with_fit_as_well(tiny_images):
    history = build().fit(training_batches(tiny_images.train[:40], 16, seed=1, epoch=0), epochs=2, verbose=0).history
    assert len(history["diversity"]) == 2
    assert set(history) == {"generator_loss", "discriminator_loss", "real_accuracy", "fake_accuracy", "diversity"}


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_it_trains_in_half_precision(precision):
    model = build(precision=precision)
    for _ in range(3):
        logs = model.train_step(images(4))
    assert all(math.isfinite(float(value)) for value in logs.values())
    assert model(sample_latents(2, 8, seed=1)).dtype == tf.float32


def test_it_learns_the_mean_image_of_the_digits(tiny_images):
    model = build(optimizer=lambda: keras.optimizers.Adam(2e-3, beta_1=0.5))
    mean_image = tf.reduce_mean(to_unit_range(tiny_images.train), axis=0)

    def off():
        fake = model.generator(sample_latents(64, 8, seed=1), training=True)
        return float(tf.reduce_mean(tf.abs(tf.reduce_mean(fake, axis=0) - mean_image)))

    untrained = off()
    step = tf.function(model.train_step, reduce_retracing=True)
    for epoch in range(2):
        for batch in training_batches(tiny_images.train, 32, seed=1, epoch=epoch):
            step(batch)
    assert off() < 0.7 * untrained  # 0.2 to 0.5, by seed and processor
