# %% [markdown]
# # DCGAN: generate digits from random vectors
#
# You will train two networks against each other. The **generator** maps random vectors, called latents, to images. The
# **discriminator** separates generated images from real ones. The generator is trained to make the discriminator fail.
# You will see:
#
# - digits emerge from noise, in the images of the same sixteen latents after every epoch,
# - an interpolation between latents, in which one image turns into the next,
# - metrics of the images, because the losses of a GAN do not show how good the images are.
#
# There are five steps: download, preprocess, define the model, train it, use it. As it stands, the notebook trains on two
# thousand digits that the code draws, in half a minute. One word in *Settings* changes that to MNIST. Model, losses and
# training step stand here in full: change them, run the cell again, and train again.
#
# The papers: Goodfellow et al. 2014, *Generative adversarial networks* (arXiv:1406.2661), and Radford et al. 2016, from
# whom the DC in DCGAN, *deep convolutional*, comes (arXiv:1511.06434).

# %% [markdown]
# ## Settings
#
# `tiny` are drawn digits, without a download. `quick` is MNIST, 60,000 handwritten digits: nine minutes on two processor
# cores. All settings and their reasons are in `examples/dcgan/config.py`; any of them can be changed here.

# %%
"""The lesson of DCGAN; `make notebooks` composes the notebook from it."""

from dataclasses import replace

from examples.dcgan.config import PRESETS

PRESET = "tiny"  # @param ["tiny", "quick", "full"]
config = replace(PRESETS[PRESET], fresh=True)  # fresh: train anew whenever the cell that trains is run

# %% [markdown]
# ## Steps 1 and 2: a batch of images
#
# `load_images` returns the images as bytes. `training_batches` scales them to [-1, 1], the range of the generator's
# $\tanh$, and shuffles them by seed and epoch.

# %%
from common.data.images import grid
from examples.dcgan.data import load_images, to_bytes, training_batches

images = load_images(config.data, config.image_size, config.channels, config.data_dir)
print(f"{len(images.train):,} images as bytes: {images.train.shape}")
for real in training_batches(images.train, 32, config.seed, epoch=0).take(1):
    print(f"a batch: {real.shape}, {real.dtype.name}, from {real.numpy().min():.0f} to {real.numpy().max():.0f}")
grid(to_bytes(real).numpy(), columns=16, scale=2)

# %%
from functools import partial

import keras
import tensorflow as tf

from common.app.lesson import method_of  # noqa: F401
from common.nn.adversarial import AdversarialModel  # noqa: F401
from common.nn.ema import ExponentialMovingAverage  # noqa: F401
from common.nn.gradients import apply_gradients  # noqa: F401
from examples.dcgan.feature_maps import feature_map_sizes  # 28: 28, 14, 7, 4
from examples.dcgan.sample_metrics import diversity  # noqa: F401

# %% tags=["source"]
from examples.dcgan.model import Discriminator, Generator, downsample, normal, upsample

# %% tags=["source"]
from examples.dcgan.model import cross_entropy, discriminator_loss, generator_loss

# %% [markdown]
# ### Check the untrained networks
#
# The discriminator gives a *logit* for each image; the sigmoid of the logit is the probability that the image is real.
# Before training all probabilities are near 0.5. So the discriminator's loss is near $2 \ln 2 = 1.386$ and the
# generator's near $\ln 2 = 0.693$. Check this whenever you change a network.

# %%
_, image_size, _, channels = images.train.shape
generator = Generator(image_size, channels, config.base_channels)
discriminator = Discriminator(image_size, config.base_channels)
z = keras.random.normal([32, config.latent_dim], seed=1)
fake = generator(z)
real_logits, fake_logits = discriminator(real), discriminator(fake)
print(f"latents {z.shape} -> images {fake.shape} -> logits {fake_logits.shape}")
print(f"discriminator {discriminator_loss(real_logits, fake_logits):.3f}, generator {generator_loss(fake_logits):.3f}")

# %% tags=["source"]
from examples.dcgan.model import DCGAN

# %% [markdown]
# ### Run one training step
#
# The model needs an optimizer for each network. After one step the losses have changed; the metrics are those of the
# batch.

# %%
model = DCGAN(image_size, channels, **config.architecture()).build_weights()
model.compile(
    keras.optimizers.Adam(config.generator_learning_rate, beta_1=config.beta_1),
    keras.optimizers.Adam(config.discriminator_learning_rate, beta_1=config.beta_1),
)
for name, value in model.train_step(real).items():
    print(f"{name:<20} {float(value):.3f}")

# %% [markdown]
# ## Train
#
# `train` builds the model as above and runs all epochs. After each it prints both losses, the accuracy of the
# discriminator on real and on fake images, and the diversity. The losses need not fall, because the networks are
# opponents.

# %%
from examples.dcgan.train import train

run = train(config)
