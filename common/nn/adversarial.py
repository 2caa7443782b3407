"""What two networks that are trained against each other need from Keras."""

from typing import Self

import keras
import tensorflow as tf

from common.nn.ema import ExponentialMovingAverage
from common.nn.gradient_penalty import lazy_r1_penalty
from common.nn.replicas import normal_rows


class AdversarialModel(keras.Model):
    """A generator, its EMA, and a discriminator, with an optimizer for each of the two trained networks.

    A subclass creates what is declared here. Its `call` applies `ema_generator`, and its `train_step` applies the
    gradients of each loss with the optimizer of that network.
    """

    latent_dim: int
    """Z; the generator takes latents float32 [B, Z]."""
    generator: keras.Model
    discriminator: keras.Model
    ema_generator: ExponentialMovingAverage
    seed_generator: keras.random.SeedGenerator

    def build_weights(self) -> Self:
        """Create all variables, so that a checkpoint can be restored before the first batch; return self.

        The EMA starts at the initial weights of the generator.
        """
        z = tf.zeros([1, self.latent_dim])
        self.discriminator(self.generator(z))
        self(z)
        self.ema_generator.initialize(self.generator)
        return self

    def sample_latents(self, count: tf.Tensor) -> tf.Tensor:
        """Return `count` latents z from N(0, 1), float32 [B, Z]."""
        return normal_rows(count, self.latent_dim, self.seed_generator)

    def r1_penalty(self, real: tf.Tensor) -> tf.Tensor:
        """Return the discriminator's gradient penalty of this step, see `gradient_penalty.lazy_r1_penalty`."""
        return lazy_r1_penalty(self.discriminator, real, self.r1_gamma, self.discriminator_optimizer.iterations)

    def compile(
        self,
        generator_optimizer: keras.optimizers.Optimizer,
        discriminator_optimizer: keras.optimizers.Optimizer,
        r1_gamma: float = 0.0,
    ) -> None:
        """Set the optimizers and create their variables. Both networks must be built, see `build_weights`.

        In float16, Keras adds loss scaling to each optimizer. `r1_gamma` is the weight of `r1_penalty`; 0: none.
        """
        super().compile(optimizer=None)
        self.r1_gamma = r1_gamma
        self.generator.compile(generator_optimizer)
        self.discriminator.compile(discriminator_optimizer)
        self.generator_optimizer = self.generator.optimizer
        self.discriminator_optimizer = self.discriminator.optimizer
        self.generator_optimizer.build(self.generator.trainable_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)
