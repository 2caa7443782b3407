# %% [markdown]
# # DCGAN: the model
#
# Two networks play against each other (Goodfellow et al. 2014, arXiv:1406.2661). The **generator** turns noise into
# images. The **discriminator** looks at an image and says how sure it is that the image is real. The discriminator
# learns to tell real from made; the generator learns to be taken for real. Neither ever sees a rule for what a good
# image is: the generator only learns through the discriminator's eyes.
#
# Radford et al. (2016, arXiv:1511.06434) found the convolutional networks with which this game is stable: strided
# convolutions instead of pooling, batch normalisation, no hidden dense layers, Adam with a short memory.
#
# Letters in shape comments: B batch, Z noise, H W C image, h w c feature map.

# %%
"""Step 3: generator, discriminator, and the training step in which two tapes record the same game."""

import keras
import tensorflow as tf

SMALLEST_SIDE = 4  # of a feature map, in the paper and here


def map_sides(image_size: int) -> list[int]:
    """Return the sides of the feature maps, the image's first, halved and rounded up until one is at most 4.

    28: 28, 14, 7, 4. And 64, as in the paper: 64, 32, 16, 8, 4.
    """
    sides = [image_size]
    while sides[-1] > SMALLEST_SIDE:
        sides.append(-(-sides[-1] // 2))
    return sides


# %% [markdown]
# ## Step 3: define the networks by subclassing
#
# All weights start as N(0, 0.02), small enough that the untrained discriminator says "I don't know" to everything: each
# term of the losses starts near $\ln 2$, and any other number at step 0 means that something is wrong.
#
# The kernels are 4 x 4, not the paper's 5 x 5: with a stride of 2, a kernel of even side touches every output pixel
# equally often, which avoids checkerboard patterns (Odena et al. 2016, distill.pub/2016/deconv-checkerboard), and it
# takes a third less work.


# %%
def normal() -> keras.initializers.Initializer:
    """Return the initial values of every kernel: N(0, 0.02), each time with a seed of its own."""
    return keras.initializers.RandomNormal(stddev=0.02)


class Generator(keras.Model):
    """Noise in, images out: project to a small map, then double it by transposed convolutions (Radford et al. 2016).

    The paper's network is `image_size=64, width=128`. Deviations: 4 x 4 kernels, for the reason above; a doubled map is
    cropped where the next one is a pixel smaller, so that any image size will do; batch norm's momentum is 0.9, because
    Keras' default of 0.99 lags behind in short runs.
    """

    def __init__(self, image_size: int, channels: int, width: int, name: str = "generator"):
        """Lay out the layers.

        Args:
            image_size: H = W, at least 8.
            channels: C, 1 for grey or 3 for colour.
            width: channels of the largest hidden map; every smaller map has twice as many.
            name: of the network in checkpoints.
        """
        super().__init__(name=name)
        smallest, *self.sides = reversed(map_sides(image_size))
        filters = width * 2 ** (len(self.sides) - 1)
        self.project = keras.layers.Dense(smallest * smallest * filters, use_bias=False, kernel_initializer=normal())
        self.reshape = keras.layers.Reshape([smallest, smallest, filters])
        self.norms = [keras.layers.BatchNormalization(momentum=0.9) for _ in self.sides]
        self.hidden = [self._doubling(filters // 2**number, use_bias=False) for number in range(1, len(self.sides))]
        self.to_pixels = self._doubling(channels, dtype="float32")

    def _doubling(self, filters: int, **options) -> keras.layers.Layer:
        return keras.layers.Conv2DTranspose(
            filters, 4, strides=2, padding="same", kernel_initializer=normal(), **options
        )

    def call(self, noise: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return images float32 [B, H, W, C] in [-1, 1].

        Args:
            noise: float32 [B, Z] from N(0, 1).
            training: whether batch norm uses the statistics of this batch, or those that it remembers.
        """
        x = self.reshape(self.project(noise))  # B h w c
        for norm, double, side in zip(self.norms, [*self.hidden, self.to_pixels], self.sides, strict=True):
            x = tf.nn.relu(norm(x, training=training))
            x = double(x)[:, :side, :side]  # B 2h 2w c/2, in the end B H W C
        return tf.tanh(x)


class Discriminator(keras.Model):
    """Images in, one logit out, positive for "real": strided convolutions that halve the map (Radford et al. 2016).

    As in the paper there is no batch norm on the first layer, and LeakyReLU with a slope of 0.2.
    """

    def __init__(self, image_size: int, width: int):
        """Lay out the layers: the generator's in reverse, with `width` channels after the first."""
        super().__init__(name="discriminator")
        count = len(map_sides(image_size)) - 1
        self.halvings = [
            keras.layers.Conv2D(
                width * 2**number, 4, strides=2, padding="same", use_bias=number == 0, kernel_initializer=normal()
            )
            for number in range(count)
        ]
        self.norms = [keras.layers.BatchNormalization(momentum=0.9) for _ in range(count - 1)]
        self.flatten = keras.layers.Flatten()
        self.verdict = keras.layers.Dense(1, kernel_initializer=normal(), dtype="float32")

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return logits float32 [B, 1] of images float32 [B, H, W, C] in [-1, 1]; sigmoid(logit) is P(real)."""
        x = tf.nn.leaky_relu(self.halvings[0](images), 0.2)  # B H/2 W/2 c
        for halve, norm in zip(self.halvings[1:], self.norms, strict=True):
            x = tf.nn.leaky_relu(norm(halve(x), training=training), 0.2)  # B h/2 w/2 2c
        return self.verdict(self.flatten(x))  # B 1


# %% [markdown]
# ## The two losses
#
# The discriminator minimises $-\log D(x) - \log(1 - D(G(z)))$: cross-entropy with "real" as 1 and "made" as 0. The
# generator should maximise the second term, but its gradient vanishes just when the discriminator is sure; so it
# minimises $-\log D(G(z))$ instead, the *non-saturating* loss that Goodfellow et al. recommend.


# %%
def discriminator_loss(real_logits: tf.Tensor, made_logits: tf.Tensor, real_target: float = 1.0) -> tf.Tensor:
    """Return the mean of -log D(x) - log(1 - D(G(z))), a scalar in nats; 2 ln 2 = 1.386 if it cannot tell.

    Args:
        real_logits: float32 [B, 1] for real images.
        made_logits: float32 [B, 1] for generated ones.
        real_target: what to answer for real images. A little below 1 keeps the discriminator from being sure of itself
            (one-sided label smoothing, Salimans et al. 2016, arXiv:1606.03498).
    """
    return cross_entropy(real_logits, real_target) + cross_entropy(made_logits, 0.0)


def generator_loss(made_logits: tf.Tensor) -> tf.Tensor:
    """Return the mean of -log D(G(z)), a scalar in nats; ln 2 = 0.693 if the discriminator cannot tell."""
    return cross_entropy(made_logits, 1.0)


def cross_entropy(logits: tf.Tensor, target: float) -> tf.Tensor:
    """Return the mean cross-entropy in nats between sigmoid(`logits`) and one target for all of them."""
    targets = tf.fill(tf.shape(logits), target)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits))


# %% [markdown]
# ## What to watch
#
# The losses of a GAN say who is winning, not how good the images are. Two other figures tell more:
#
# - **How often the discriminator is right**, on real images and on made ones. Around 70 % the two are a match. Near
#   100 % on both, it has won, and the generator's gradients say little.
# - **Diversity**: in a batch, how far each image is from the one most like it, made images over real ones. Near 1 the
#   made images vary as the real ones do. When the generator collapses to a few modes, every image has a near twin in
#   the batch and the ratio falls towards 0: a birthday test (Arora and Zhang 2017, arXiv:1706.08224) without eyes.


# %%
def diversity(made: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """Return the mean distance to the nearest other image of the batch, of `made` over `real`, a scalar; 1 is ideal.

    Args:
        made: float32 [B, H, W, C].
        real: float32 [B, H, W, C].
    """
    return tf.math.divide_no_nan(mean_nearest_distance(made), mean_nearest_distance(real))


def mean_nearest_distance(images: tf.Tensor) -> tf.Tensor:
    """Return the mean Euclidean distance of each of `images` [B, H, W, C] to the nearest other one; 0 if B is 1."""
    flat = tf.reshape(images, [tf.shape(images)[0], -1])  # B HWC
    squares = tf.reduce_sum(flat**2, axis=1)  # B
    distances = squares[:, None] + squares[None] - 2 * tf.matmul(flat, flat, transpose_b=True)  # B B
    distances = tf.linalg.set_diag(distances, tf.fill(tf.shape(squares), tf.reduce_max(distances)))  # not to itself
    return tf.reduce_mean(tf.sqrt(tf.maximum(tf.reduce_min(distances, axis=1), 0.0)))


# %% [markdown]
# ## Step 4: train
#
# Both tapes record the same forward pass: noise becomes images, the discriminator judges real and made ones. Then each
# tape is asked about one network only: the generator's loss with respect to the generator's weights, the
# discriminator's with respect to its own. So each learns while the other holds still, although one pass serves both.
#
# The generator that is shown and kept is not the one that plays. It is an **average** of the player's weights over the
# last thousand steps or so (Karras et al. 2018, arXiv:1710.10196; Yazıcı et al. 2019, arXiv:1806.04498). The player
# runs in circles around the point where neither can win; the average stands near its middle.


# %%
class DCGAN(keras.Model):
    """Both networks, the average of the generator, and one step of training them against each other."""

    def __init__(
        self, image_size: int, channels: int, width: int, noise_dim: int, average_decay: float, real_target: float
    ):
        """Lay out the networks; the arguments are the settings of the same names."""
        super().__init__()
        self.noise_dim, self.average_decay, self.real_target = noise_dim, average_decay, real_target
        self.generator = Generator(image_size, channels, width)
        self.discriminator = Discriminator(image_size, width)
        self.average = Generator(image_size, channels, width, name="average")
        self.average.trainable = False
        self.image_shape = (image_size, image_size, channels)
        self.noise_seed = keras.random.SeedGenerator()  # its state is saved with the weights: a resume draws on
        self.steps = self.add_weight(name="steps", shape=(), dtype="int64", initializer="zeros", trainable=False)
        names = ("generator_loss", "discriminator_loss", "right_on_real", "right_on_made", "diversity")
        self.means = {name: keras.metrics.Mean(name=name) for name in names}

    def call(self, noise: tf.Tensor) -> tf.Tensor:
        """Return what the averaged generator makes of `noise` [B, Z]: images float32 [B, H, W, C] in [-1, 1]."""
        return self.average(noise)

    def build_weights(self) -> "DCGAN":
        """Create all variables, so that they can be restored before the first batch; return self."""
        self.discriminator(self.generator(tf.zeros([1, self.noise_dim])))
        self(tf.zeros([1, self.noise_dim]))
        self.average.set_weights(self.generator.get_weights())
        return self

    def compile(
        self, generator_optimizer: keras.optimizers.Optimizer, discriminator_optimizer: keras.optimizers.Optimizer
    ) -> None:
        """Take two optimizers, because each keeps the memory of one network's gradients."""
        super().compile(optimizer=generator_optimizer)  # which wraps it for float16, whose gradients need scaling
        if isinstance(self.optimizer, keras.optimizers.LossScaleOptimizer):
            discriminator_optimizer = keras.optimizers.LossScaleOptimizer(discriminator_optimizer)
        self.discriminator_optimizer = discriminator_optimizer
        self.optimizer.build(self.generator.trainable_variables)
        self.discriminator_optimizer.build(self.discriminator.trainable_variables)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The means of what `train_step` returns, for `fit`; without Keras' own, of a single loss."""
        return list(self.means.values())

    def train_step(self, real: tf.Tensor) -> dict[str, tf.Tensor]:
        """Play one round on a batch of real images float32 [B, H, W, C] in [-1, 1]; return its losses and figures."""
        noise = keras.random.normal([tf.shape(real)[0], self.noise_dim], seed=self.noise_seed)  # B Z
        with tf.GradientTape() as generator_tape, tf.GradientTape() as discriminator_tape:
            made = self.generator(noise, training=True)  # B H W C
            real_logits = self.discriminator(real, training=True)  # B 1
            made_logits = self.discriminator(made, training=True)  # B 1
            loss_g = generator_loss(made_logits)
            loss_d = discriminator_loss(real_logits, made_logits, self.real_target)
            scaled_g = self.optimizer.scale_loss(loss_g)
            scaled_d = self.discriminator_optimizer.scale_loss(loss_d)
        self._learn(generator_tape, scaled_g, self.generator, self.optimizer)
        self._learn(discriminator_tape, scaled_d, self.discriminator, self.discriminator_optimizer)
        self._update_average()
        logs = {
            "generator_loss": loss_g,
            "discriminator_loss": loss_d,
            "right_on_real": tf.reduce_mean(tf.cast(real_logits > 0, tf.float32)),
            "right_on_made": tf.reduce_mean(tf.cast(made_logits < 0, tf.float32)),
            "diversity": diversity(made, real),
        }
        for name, value in logs.items():
            self.means[name].update_state(value)  # which is what fit() shows
        return logs

    def _learn(self, tape: tf.GradientTape, loss: tf.Tensor, network: keras.Model, optimizer) -> None:
        gradients = tape.gradient(loss, network.trainable_variables)
        optimizer.apply_gradients(zip(gradients, network.trainable_variables, strict=True))

    def _update_average(self) -> None:
        """Move the average towards the player: in whole at first, in ever smaller steps down to 1 - average_decay."""
        self.steps.assign_add(1)
        steps = tf.cast(self.steps, tf.float32)
        decay = tf.minimum(self.average_decay, (1 + steps) / (10 + steps))
        for mean, variable in zip(self.average.variables, self.generator.variables, strict=True):
            mean.assign(decay * mean + (1 - decay) * variable)
