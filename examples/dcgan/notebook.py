# %% [markdown]
# # Digits that nobody has written
#
# You will train two networks against each other. One, the **generator**, turns noise into images. The other, the
# **discriminator**, learns to tell them from real ones, and the generator learns only from being found out. You will
# see:
#
# - digits coming out of the fog, the same sixteen noise vectors after every epoch,
# - a walk through the noise space, on which one image turns into the next,
# - numbers that say how good the images are, which the losses of such a game do not.
#
# There are five steps: download, preprocess, define the model, train it, use it. Each is first defined and explained;
# then *Train* puts them to work.
#
# All code that matters is in this notebook: change any of it, run the cell again, and train again. As it stands, it
# learns from two thousand digits that the code draws, in half a minute; one word, in *Settings*, makes that MNIST.
#
# The papers: Goodfellow et al. 2014, *Generative adversarial networks* (arXiv:1406.2661), and Radford et al. 2016, from
# whom the DC in DCGAN, *deep convolutional*, comes (arXiv:1511.06434).

# %% [markdown]
# ## Settings

# %% tags=["include"]
"""The notebook's own words and cells, and the order of the rest; `make notebooks` composes them."""

from dataclasses import replace

import keras
from IPython.display import Image as Picture
from IPython.display import display

from common.data.images import grid
from common.app.report import flat, readable
from examples.dcgan.config import PRESETS

# %% [markdown]
# `tiny` are drawn digits, made here without a download. `quick` is MNIST, 60,000 handwritten digits: nine minutes on
# two processor cores. Any setting can be changed here; unfold the cell above for all of them and their reasons.

# %%
PRESET = "tiny"  # @param ["tiny", "quick", "full"]
config = replace(PRESETS[PRESET], fresh=True)  # fresh: train anew whenever the cell that trains is run

# %% tags=["include"]
from examples.dcgan.data import load_images, to_bytes, training_batches

# %% [markdown]
# ### Look at a batch

# %%
images = load_images(config.data, config.image_size, config.channels, config.data_dir)
print(f"{len(images.train):,} images as bytes: {images.train.shape}")
for real in training_batches(images.train, 32, config.seed, epoch=0).take(1):
    print(f"a batch: {real.shape}, {real.dtype.name}, from {real.numpy().min():.0f} to {real.numpy().max():.0f}")
grid(to_bytes(real).numpy(), columns=16, scale=2)

# %% tags=["include"]
from examples.dcgan.model import discriminator_loss, generator_loss

# %% tags=["include"]
from examples.dcgan.balance import WatchBalance

# %% tags=["include"]
from examples.dcgan.train import build_model, train

# %% [markdown]
# ### Check the untrained networks
#
# Follow one batch through both. The discriminator answers with a *logit*: above 0 it takes the image for real, below
# 0 for made, and the sigmoid makes a probability of it. Before any training it knows nothing, so its loss should be
# $2 \ln 2 = 1.386$ and the generator's $\ln 2 = 0.693$. It is worth a look whenever you change a network.

# %%
model = build_model(config, images)
noise = keras.random.normal([32, config.noise_dim], seed=1)
made = model.generator(noise)
real_logits, made_logits = model.discriminator(real), model.discriminator(made)
print(f"noise {noise.shape} -> images {made.shape} -> logits {made_logits.shape}")
print(f"discriminator {discriminator_loss(real_logits, made_logits):.3f}, generator {generator_loss(made_logits):.3f}")

# %% tags=["include"]
from examples.dcgan.demo import ImageGenerator, draw_noise, draw_walk, sheet

# %% [markdown]
# ## Train
#
# Everything is defined; this puts it to work. After every epoch come both losses, how often the discriminator is
# right, and the diversity. The losses need not fall: each network's success is the other one's failure.

# %%
run = train(config)

# %% [markdown]
# The same sixteen noise vectors, from before training to its end:

# %%
display(Picture(filename=run.figures / "training.gif"))

# %% [markdown]
# Is it going well? Dotted: beyond it the discriminator has won (middle), or the images repeat each other (right).

# %%
display(Picture(filename=run.figures / "learning_curve.png"))

# %% [markdown]
# ## Make images, and walk from one to another

# %%
generator = ImageGenerator.load(run)
display(sheet(generator.draw(64, seed=1)))

# %%
draw_walk(generator, [1, 2, 3], 16, run.figures / "walk.gif")
display(Picture(filename=run.figures / "walk.gif"))

# %% tags=["include"]
from examples.dcgan.fidelity import frechet_distance

# %% tags=["include"]
from examples.dcgan.evaluate import evaluate

# %%
for name, value in flat(evaluate(run, data_dir=config.data_dir)).items():
    print(f"{name:<26} {readable(value)}")

# %%
display(Picture(filename=run.figures / "classes.png"))
display(Picture(filename=run.figures / "nearest.png"))

# %% [markdown]
# ## Now try
#
# Each is a change of one line; then run from the cell on that you changed.
#
# - **Handwritten digits**: `PRESET = "quick"`.
# - **Other data**: `config = replace(PRESETS["quick"], data="tfds:fashion_mnist", fresh=True)`.
# - **Your own pictures**: `config = replace(PRESETS["quick"], data="/content/my_pictures", image_size=64,
#   fresh=True)`; a folder of PNG or JPEG. A thousand of one kind of thing make a start.
# - **Upset the balance**: `config = replace(PRESETS[PRESET], discriminator_learning_rate=3e-3, fresh=True)`. Who
#   wins, and what do the images look like then?
# - **Adam with a long memory**: `beta_1=0.9`, in the same place.
# - **The paper's kernels**: in `Generator` and `Discriminator`, 5 instead of 4. Look for checkerboards.
# - **The player instead of the average**: in `DCGAN.call`, return `self.generator(noise)`.
# - **Noise that the generator never saw**: run the next cell with other lengths of the vector. Where does it break?

# %%
noise = draw_noise(16, config.noise_dim, seed=3)
display(sheet(generator.make(0.3 * noise)), sheet(generator.make(noise)), sheet(generator.make(3 * noise)))
