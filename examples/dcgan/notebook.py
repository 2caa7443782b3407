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
# There are five steps: download, preprocess, define the model, train it, use it. As it stands, the notebook trains on
# two thousand digits that the code draws, in about a minute. One word in *Settings* changes that to MNIST. Model,
# losses and training step stand here in full: change one of them, and run the cells from there on.
#
# The papers: Goodfellow et al. 2014, *Generative adversarial networks* (arXiv:1406.2661), and Radford et al. 2016, from
# whom the DC in DCGAN, *deep convolutional*, comes (arXiv:1511.06434).

# %% [markdown]
# ## Settings
#
# `tiny` are drawn digits, without a download. `quick` is MNIST, 60,000 handwritten digits: nine minutes on two
# processor cores; `full`, larger networks, takes 42 minutes on one core. All settings and their reasons are in
# `examples/dcgan/config.py`; any of them can be changed here.

# %%
"""The lesson of DCGAN; `make notebooks` composes the notebook from it."""

from dataclasses import replace

from examples.dcgan.config import PRESETS, EvaluateOptions

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

# %% [markdown]
# ## Step 3: the model

# %%
from functools import partial

import keras
import tensorflow as tf

from common.app.lesson import method_of  # continues a class in a later cell
from common.nn.adversarial import AdversarialModel  # compile, build_weights, sample_latents, r1_penalty
from common.nn.batch_norm import BatchNormalization  # Keras', over the examples of all devices
from common.nn.ema import ExponentialMovingAverage  # of a network's weights, over the training steps
from common.nn.gradients import apply_gradients  # tape.gradient and optimizer.apply_gradients
from common.nn.replicas import batch_mean  # tf.reduce_mean over the examples of all devices
from examples.dcgan.feature_maps import Size, feature_map_sizes  # 28 x 28: 28, 14, 7, 4
from examples.dcgan.metrics.sample_metrics import diversity  # do the images of a batch differ? (see below)

# %% tags=["source"]
from examples.dcgan.model import Discriminator, Generator, downsample, normal, upsample

# %% tags=["source"]
from examples.dcgan.model import cross_entropy, discriminator_loss, generator_loss

# %% [markdown]
# ### Check the untrained networks
#
# The discriminator gives a *logit* for each image; the sigmoid of the logit is the probability that the image is real.
# Both losses should be near the values above. Check this whenever you change a network.

# %%
_, *image_size, channels = images.train.shape
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
# The tape gives the gradient of the loss with respect to each weight of the discriminator. No norm should be 0. That of
# the last bias can be small, because real and fake images pull it in opposite directions. The model then needs an
# optimizer for each network. After one step it returns the metrics of the batch: both losses, the fractions of real and
# of fake images that the discriminator classifies correctly, and the diversity, explained in step 4. In training, batch
# norm uses the batch, so the losses differ from those above.

# %%
with tf.GradientTape() as tape:
    loss = discriminator_loss(discriminator(real, training=True), discriminator(fake, training=True))
for weight, gradient in zip(
    discriminator.trainable_weights, tape.gradient(loss, discriminator.trainable_weights), strict=True
):
    print(f"{weight.path:<45} {tuple(weight.shape)!s:<18} gradient norm {tf.norm(gradient):.4f}")

# %%
from examples.dcgan.train import r1_gamma

model = DCGAN(image_size, channels, **config.architecture()).build_weights()
model.compile(
    keras.optimizers.Adam(config.generator_learning_rate, beta_1=config.beta_1),
    keras.optimizers.Adam(config.discriminator_learning_rate, beta_1=config.beta_1),
    r1_gamma(config, image_size),
)
for name, value in model.train_step(real).items():
    print(f"{name:<20} {float(value):.3f}")

# %% [markdown]
# ## Step 4: train
#
# `train` builds the model as above and runs all epochs. After each it prints the same metrics. The *diversity* is the
# mean distance of a generated image to the nearest other one of its batch, relative to that of real images; 1 is ideal.
# The losses need not fall, because the networks are opponents.

# %%
from IPython.display import Image as Picture
from IPython.display import display

from examples.dcgan.train import train

run = train(config, DCGAN)

# %% [markdown]
# The images of the same sixteen latents, from the untrained generator to the end of the training:

# %%
display(Picture(filename=run.figures / "training.gif"))

# %% [markdown]
# Losses, accuracies and diversity by epoch. Where both accuracies, in the middle, are above the dotted line, the
# discriminator dominates. Where the diversity, on the right, is below its dotted line, the generated images repeat each
# other, here in the first epochs.

# %%
display(Picture(filename=run.figures / "learning_curve.png"))

# %% [markdown]
# ## Step 5: generate images, and interpolate between them
#
# `ImageGenerator` restores the EMA generator. `sample` maps the latents of a seed to images. The interpolation follows
# arcs between latents (White 2016, arXiv:1609.04468), because all latents of the training have about the same length.

# %%
from examples.dcgan.demo import ImageGenerator, draw_interpolation, sample_latents, sheet

image_generator = ImageGenerator.load(run, DCGAN)
display(sheet(image_generator.sample(64, seed=1)))

# %%
draw_interpolation(image_generator, [1, 2, 3], 16, run.figures / "interpolation.gif")
display(Picture(filename=run.figures / "interpolation.gif"))

# %% [markdown]
# ## Measure
#
# `evaluate` trains a classifier of the same digits once, and compares its features of generated and real images. The
# Frechet distance is small if both sets have the same distribution of features; the floor is that of two sets of real
# images. `classes_covered` counts the digits that have at least a tenth of their real frequency. The Inception score
# (Salimans et al. 2016, arXiv:1606.03498), here with this classifier instead of Inception, is at most 10: every image
# then belongs clearly to one digit, and all digits are equally frequent. *Novelty* is the mean distance to the nearest
# training image, relative to that of real images; 0 means copies. *Diversity* is computed as in training, but among up
# to 1,000 images of the EMA generator.

# %%
from common.app.report import flatten, format_value
from examples.dcgan.evaluate import evaluate

for name, value in flatten(evaluate(EvaluateOptions(run=run.path, data_dir=config.data_dir), DCGAN)).items():
    print(f"{name:<26} {format_value(value)}")

# %% [markdown]
# The frequency of each digit, and twelve generated images, each above the training image nearest to it: they are no
# copies.

# %%
for figure in (run.figures / "classes.png", run.figures / "nearest.png"):
    if figure.exists():  # digits are counted only if the images have labels
        display(Picture(filename=figure))

# %% [markdown]
# ## Exercises
#
# Each changes one thing; undo it before the next. Run from the changed cell on (also the cells that continue a class).
# `PRESET = "quick"` trains on handwritten digits, and
# `PRESETS["quick"].with_data("/content/my_pictures", image_size=64, fresh=True)` on a folder of pictures. The results
# below are those of `tiny`; another processor rounds otherwise, and its figures differ a little.
#
# 1. **Let the discriminator dominate**: `config = replace(PRESETS[PRESET], generator_learning_rate=1e-4,
#    discriminator_learning_rate=1e-3, fresh=True)`. What happens to accuracies, losses and diversity?
#
#    <details><summary>Result</summary>Both accuracies stay between 0.94 and 1. The discriminator's loss jumps between
#    0.01 and 0.4, the generator's between 3.5 and 6, and diversity is mostly below 0.5. With `r1_gamma=0.0` it is
#    worse.</details>
# 2. **Use the generator without EMA**: `config = replace(PRESETS[PRESET], ema_decay=0.0, fresh=True)`, so that the EMA
#    generator equals the latest one. How do the samples of successive epochs differ?
#
#    <details><summary>Result</summary>They change two to three times as much from epoch to epoch, because the two
#    networks circle around the equilibrium.</details>
# 3. **Latents unlike those of the training**: the next cell scales them by 0.3, 1 and 3 (one sheet each). Which images
#    suffer?
#
#    <details><summary>Result</summary>Short latents give faint, almost black images; long ones give thick strokes with
#    specks around them.</details>

# %%
z = sample_latents(16, config.latent_dim, seed=3)
display(*(sheet(image_generator.generate(scale * z)) for scale in (0.3, 1, 3)))
