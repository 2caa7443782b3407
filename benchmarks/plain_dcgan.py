"""The plain recipe that the example is compared with: the DCGAN of the public TensorFlow tutorial, for 28 x 28 x 1.

Its networks and hyper-parameters, described at tensorflow.org/tutorials/generative/dcgan: 5 x 5 kernels, LeakyReLU
everywhere, Keras' initial values, dropout in the discriminator, Adam at 1e-4 with beta_1 left at 0.9, batches of 256.
The notebook of 2018 was the same with a smaller generator, and with ReLU there.
"""

import keras
import tensorflow as tf
from keras import layers

BATCH_SIZE, LATENT_DIM = 256, 100
TODAY, IN_2018 = ((256, 128, 64), 0.3), ((64, 64, 32), 0.0)
"""Channels of the generator's maps, and the slope of its activation for negative numbers."""


def generator(widths: tuple[int, int, int], slope: float) -> keras.Model:
    """Return the network from latents float32 [B, 100] to images float32 [B, 28, 28, 1] in [-1, 1]."""
    stack = [keras.Input([LATENT_DIM]), layers.Dense(7 * 7 * widths[0], use_bias=False)]
    stack += [layers.BatchNormalization(), layers.LeakyReLU(slope), layers.Reshape([7, 7, widths[0]])]
    for filters, strides in ((widths[1], 1), (widths[2], 2)):
        stack.append(layers.Conv2DTranspose(filters, 5, strides, padding="same", use_bias=False))
        stack += [layers.BatchNormalization(), layers.LeakyReLU(slope)]
    stack.append(layers.Conv2DTranspose(1, 5, 2, padding="same", use_bias=False, activation="tanh"))
    return keras.Sequential(stack)


def discriminator() -> keras.Model:
    """Return the network from images float32 [B, 28, 28, 1] to logits float32 [B, 1]."""
    stack = [keras.Input([28, 28, 1])]
    for filters in (64, 128):
        stack += [layers.Conv2D(filters, 5, 2, padding="same"), layers.LeakyReLU(0.3), layers.Dropout(0.3)]
    return keras.Sequential([*stack, layers.Flatten(), layers.Dense(1)])


class PlainDCGAN(keras.Model):
    """Both networks and the training step; calling it generates images."""

    latent_dim = LATENT_DIM

    def __init__(self, sizes: tuple[tuple[int, int, int], float] = TODAY):
        """Build networks and optimizers."""
        super().__init__()
        self.generator, self.discriminator = generator(*sizes), discriminator()
        self.optimizers = [keras.optimizers.Adam(1e-4), keras.optimizers.Adam(1e-4)]
        for optimizer, network in zip(self.optimizers, (self.generator, self.discriminator), strict=True):
            optimizer.build(network.trainable_variables)

    def call(self, z: tf.Tensor) -> tf.Tensor:
        """Return images float32 [B, 28, 28, 1] in [-1, 1]."""
        return self.generator(z, training=False)

    def train_step(self, real: tf.Tensor) -> dict[str, tf.Tensor]:
        """Train both networks on a batch of real images float32 [B, 28, 28, 1]."""
        entropy = keras.losses.BinaryCrossentropy(from_logits=True)
        with tf.GradientTape() as generator_tape, tf.GradientTape() as discriminator_tape:
            fake = self.generator(tf.random.normal([BATCH_SIZE, LATENT_DIM]), training=True)
            real_logits = self.discriminator(real, training=True)
            fake_logits = self.discriminator(fake, training=True)
            loss_g = entropy(tf.ones_like(fake_logits), fake_logits)
            loss_d = entropy(tf.ones_like(real_logits), real_logits) + entropy(tf.zeros_like(fake_logits), fake_logits)
        for tape, loss, network, optimizer in (
            (generator_tape, loss_g, self.generator, self.optimizers[0]),
            (discriminator_tape, loss_d, self.discriminator, self.optimizers[1]),
        ):
            gradients = tape.gradient(loss, network.trainable_variables)
            optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))
        return {"generator_loss": loss_g, "discriminator_loss": loss_d}
