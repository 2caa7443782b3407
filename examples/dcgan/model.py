# %% [markdown]
# # DCGAN: the model
#
# A generative adversarial network (Goodfellow et al. 2014, arXiv:1406.2661) trains two networks against each other. The
# **generator** G maps a latent vector z to an image. The **discriminator** D maps an image to the probability that it
# is real. D learns to separate real images from generated ones, called *fakes*; G learns to make D fail (equation 1):
#
# $$\min_G \max_D \; \mathbb{E}_x[\log D(x)] + \mathbb{E}_z[\log(1 - D(G(z)))]$$
#
# Radford et al. (2016, arXiv:1511.06434) found convolutional networks with which this training is stable. Letters in
# shape comments: B batch, Z latent, H W C image, h w c feature map. Numbers: 28 x 28 x 1 images, `base_channels` 32.

# %%
"""Step 3: the generator, the discriminator, their losses, and the training step with one tape for each network."""

from functools import partial

import keras
import tensorflow as tf

from common.nn.adversarial import AdversarialModel
from common.nn.batch_norm import BatchNormalization
from common.nn.ema import ExponentialMovingAverage
from common.nn.gradients import apply_gradients
from common.nn.replicas import batch_mean
from examples.dcgan.feature_maps import Size, feature_map_sizes
from examples.dcgan.metrics.sample_metrics import diversity

# %% [markdown]
# ## The two networks
#
# The rules of the paper (section 3): strides instead of pooling; batch norm except at the output of G and the input of
# D; no dense layer but the first of G and the last of D; ReLU and a tanh output in G, LeakyReLU in D. From its section
# 4: slope 0.2, weights from $N(0, 0.02^2)$. The paper's images are 64 x 64, with `base_channels` 128 (figure 1).
#
# Deviations: z is normal, not uniform. Kernels are 4 x 4, not 5 x 5: a multiple of the stride avoids checkerboard
# patterns (Odena et al. 2016). Feature maps are cropped to fit any image size. Batch norm has momentum 0.9, as Keras'
# 0.99 lags behind in short runs.

# %%
normal = partial(keras.initializers.RandomNormal, stddev=0.02)  # every call gives an initializer with its own seed


class Generator(keras.Model):
    """Map latents to images by transposed (fractionally-strided) convolutions (Radford et al. 2016, figure 1)."""

    def __init__(self, image_size: Size, channels: int, base_channels: int):
        """Create the layers for H, W = `image_size`; the largest hidden map (14 x 14) has `base_channels` channels."""
        super().__init__()
        (h, w), *self.sizes = reversed(feature_map_sizes(image_size))  # 4 x 4, then 7 x 7, 14 x 14, 28 x 28
        filters = [base_channels * 2**n for n in reversed(range(len(self.sizes)))]  # 128, 64, 32
        self.project = keras.layers.Dense(h * w * filters[0], use_bias=False, kernel_initializer=normal())
        self.reshape = keras.layers.Reshape([h, w, filters[0]])  # this gives 4 x 4 x 128
        self.upsample = [upsample(count, use_bias=False) for count in filters[1:]]  # 7 x 7 x 64, 14 x 14 x 32
        self.output_layer = upsample(channels, dtype="float32")  # 28 x 28 x 1
        self.norms = [BatchNormalization(momentum=0.9) for _ in filters]

    def call(self, z: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return images float32 [B, H, W, C] in [-1, 1] for latents `z` float32 [B, Z] from N(0, 1)."""
        x = self.reshape(self.project(z))  # B 4 4 128
        for norm, layer, (h, w) in zip(self.norms, [*self.upsample, self.output_layer], self.sizes, strict=True):
            x = tf.nn.relu(norm(x, training=training))  # B h w c
            x = layer(x)[:, :h, :w]  # doubled, and cropped if that is too large: B 7 7 64, B 14 14 32, B 28 28 1
        return tf.tanh(x)  # B H W C


class Discriminator(keras.Model):
    """Map images to logits by strided convolutions, the generator in reverse (Radford et al. 2016)."""

    def __init__(self, image_size: Size, base_channels: int):
        """Create the layers; the first has `base_channels` output channels, each further one twice as many."""
        super().__init__()
        filters = [base_channels * 2**n for n in range(len(feature_map_sizes(image_size)) - 1)]  # 32, 64, 128
        self.input_layer = downsample(filters[0])  # 14 x 14 x 32, without batch norm
        self.downsample = [downsample(count, use_bias=False) for count in filters[1:]]  # 7 x 7 x 64, 4 x 4 x 128
        self.norms = [BatchNormalization(momentum=0.9) for _ in filters[1:]]
        self.flatten = keras.layers.Flatten()
        self.output_layer = keras.layers.Dense(1, kernel_initializer=normal(), dtype="float32")

    def call(self, images: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Return logits float32 [B, 1] of images float32 [B, H, W, C] in [-1, 1]; D(x) = sigmoid(logit)."""
        x = tf.nn.leaky_relu(self.input_layer(images), 0.2)  # B 14 14 32
        for layer, norm in zip(self.downsample, self.norms, strict=True):
            x = tf.nn.leaky_relu(norm(layer(x), training=training), 0.2)  # B 7 7 64, B 4 4 128
        return self.output_layer(self.flatten(x))  # B 1


def upsample(filters: int, **options) -> keras.layers.Layer:
    """Return a transposed convolution that doubles the size of a feature map."""
    return keras.layers.Conv2DTranspose(filters, 4, strides=2, padding="same", kernel_initializer=normal(), **options)


def downsample(filters: int, **options) -> keras.layers.Layer:
    """Return a convolution that halves the size of a feature map, rounded up."""
    return keras.layers.Conv2D(filters, 4, strides=2, padding="same", kernel_initializer=normal(), **options)


# %% [markdown]
# ## The two losses
#
# D minimises the negative of the objective. G would minimise $\log(1 - D(G(z)))$, but its gradient vanishes when D
# rejects fakes confidently. So G minimises the *non-saturating* loss $-\log D(G(z))$ (Goodfellow et al., section 3). An
# untrained D gives about 0.5 for every image: the losses start near $2 \ln 2 = 1.386$ and $\ln 2 = 0.693$.


# %%
def cross_entropy(label: float, logits: tf.Tensor) -> tf.Tensor:
    """Return the mean of -y log D - (1 - y) log(1 - D) with the same label y for all images."""
    return batch_mean(tf.nn.sigmoid_cross_entropy_with_logits(label * tf.ones_like(logits), logits))


def discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor, real_label: float = 1.0) -> tf.Tensor:
    """Return the mean of -log D(x) - log(1 - D(G(z))), a scalar in nats, for logits float32 [B, 1]."""
    # A real_label below 1 is one-sided label smoothing (Salimans et al. 2016, arXiv:1606.03498).
    return cross_entropy(real_label, real_logits) + cross_entropy(0.0, fake_logits)


def generator_loss(fake_logits: tf.Tensor) -> tf.Tensor:
    """Return the mean of -log D(G(z)), a scalar in nats, for logits float32 [B, 1]."""
    return cross_entropy(1.0, fake_logits)


# %% [markdown]
# ## The training step
#
# Each tape gives the gradients of one loss for one network. (Goodfellow et al. update D first.) **R1** keeps D from
# dominating: it adds $\gamma/2\; \mathbb{E}_x |\nabla_x \mathrm{logit}\, D(x)|^2$ over real images to the loss of D
# (Mescheder et al. 2018, equation 9), in every fourth step, and there times 4. The weights of G circle around an
# equilibrium. So the **EMA generator**, a moving average of G, generates the final images (Karras et al. 2018).


# %%
class DCGAN(AdversarialModel):
    """Both networks, the EMA of the generator, and the training step."""

    def __init__(
        self, image_size: Size, channels: int, base_channels: int, latent_dim: int, ema_decay: float, real_label: float
    ):
        """Create the networks; the arguments are the settings of the same names."""
        super().__init__()
        self.channels, self.latent_dim, self.real_label = channels, latent_dim, real_label
        self.generator = Generator(image_size, channels, base_channels)
        self.discriminator = Discriminator(image_size, base_channels)
        self.ema_generator = ExponentialMovingAverage(Generator(image_size, channels, base_channels), ema_decay)
        self.seed_generator = keras.random.SeedGenerator()  # saved with the weights, so that a resumed run is the same

    def call(self, z: tf.Tensor) -> tf.Tensor:
        """Return the EMA generator's images float32 [B, H, W, C] in [-1, 1] for latents `z` float32 [B, Z]."""
        return self.ema_generator(z)

    def train_step(self, real: tf.Tensor) -> dict[str, tf.Tensor]:
        """Run one training step on real images float32 [B, H, W, C] in [-1, 1]; return the metrics of the batch."""
        z = self.sample_latents(tf.shape(real)[0])  # B Z, N(0, 1), by AdversarialModel
        with tf.GradientTape() as tape_g, tf.GradientTape() as tape_d:
            fake = self.generator(z, training=True)  # B H W C
            real_logits = self.discriminator(real, training=True)  # B 1; a call each, so batch norm does not mix them
            fake_logits = self.discriminator(fake, training=True)  # B 1
            loss_g = generator_loss(fake_logits)
            loss_d = discriminator_loss(real_logits, fake_logits, self.real_label)
            penalized_loss_d = loss_d + self.r1_penalty(real)  # by AdversarialModel
        apply_gradients(self.generator_optimizer, tape_g, loss_g, self.generator.trainable_variables)
        apply_gradients(self.discriminator_optimizer, tape_d, penalized_loss_d, self.discriminator.trainable_variables)
        self.ema_generator.update(self.generator)
        return {
            "generator_loss": loss_g,
            "discriminator_loss": loss_d,  # without R1, to compare runs with and without it
            "real_accuracy": batch_mean(tf.cast(real_logits > 0, tf.float32)),
            "fake_accuracy": batch_mean(tf.cast(fake_logits < 0, tf.float32)),
            "diversity": diversity(fake, real),  # near 0: mode collapse
        }
