# %% [markdown]
# # Image captioning with visual attention
#
# You will train a network that captions images. For each word it computes weights over the image: **visual attention**.
# You will see:
#
# - captions that improve epoch by epoch, with the image lit by the attention for each word,
# - captions of your own images,
# - whether attention points at what the words name, which good sentences alone do not show.
#
# There are five steps: download, preprocess, define the model, train it, use it. Each is first defined and explained;
# then *Train* puts them to work.
#
# All code that matters is in this notebook: change any of it, run the cell again, and train again. As it stands, it
# learns from scenes of coloured shapes that the code draws, in a minute or two; one word, in *Settings*, makes that
# photos.
#
# The paper: Xu et al. 2015, *Show, attend and tell* (arXiv:1502.03044). Attention itself comes from translation
# (Bahdanau et al. 2015, arXiv:1409.0473).

# %% [markdown]
# ## Settings

# %% tags=["include"]
"""The notebook's own words and cells, and the order of the rest; `make notebooks` composes them."""

import math
from dataclasses import replace

import keras
import numpy as np
import tensorflow as tf
from IPython.display import Image as Picture
from IPython.display import display

from common.data import images
from examples.image_captioning import attention_overlay
from common.app.report import flatten, format_value
from common.nn.losses import masked_mean, smoothed_cross_entropy
from examples.image_captioning.config import PRESETS

# %% [markdown]
# `tiny` are scenes that the code draws. `quick` is Flickr8k, 8,000 photos with five captions each: a download of 1.1
# GB and then, on two processor cores, a quarter of an hour. Any setting can be changed here; unfold the cell above for
# all of them and their reasons.

# %%
PRESET = "tiny"  # @param ["tiny", "quick", "full"]
config = replace(PRESETS[PRESET], fresh=True)  # fresh: train anew whenever the cell that trains is run

# %% [markdown]
# ## Pictures and captions

# %% tags=["include"]
from examples.image_captioning.toy_scenes import Scene, Shape, make_scenes

# %% [markdown]
# ### Look at some scenes

# %%
some = make_scenes(8, seed=0, held_out=False)
for scene in some[:4]:
    print(" = ".join(scene.captions))
images.grid(np.stack([np.asarray(scene.draw()) for scene in some]), columns=8, scale=2)

# %% tags=["include"]
from examples.image_captioning.encoder import load_encoder

# %% tags=["include"]
from examples.image_captioning.data import CaptionBatches

# %% tags=["include"]
from examples.image_captioning.image_encoder import PrecomputedFeatures

# %% [markdown]
# ## The model
#
# It begins with attention.

# %% tags=["include"]
from examples.image_captioning.attention import EncoderOutput, GridAttention

# %% [markdown]
# ### Try attention alone
#
# One image of four cells, and two hidden states. The layer is untrained, so its weights are arbitrary; but each row of
# weights sums to 1.

# %%
attention = GridAttention(units=16)
cells = tf.random.stateless_normal([1, 4, 8], seed=[1, 2])  # B L C
hidden = tf.random.stateless_normal([1, 2, 6], seed=[3, 4])  # B T U
image = EncoderOutput(cells, cells, attention.key_projection(cells), tf.reduce_mean(cells, axis=1))
location_context, content_context, weights = attention(hidden, image)
print("context", location_context.shape, "= images, words, channels; weights", weights.shape, "= images, words, cells")
print(weights.numpy().round(3))

# %% tags=["include"]
from examples.image_captioning.model import Captioner

# %% tags=["include"]
from examples.image_captioning.scene_captioner import SceneCaptioner

# %% tags=["include"]
from examples.image_captioning.demo import build_model
from examples.image_captioning.train import load_data, train

# %% [markdown]
# ### Look at a batch, and check the untrained model
#
# The LSTM reads the true caption, one word behind: at each position it has read the words before, and has to predict
# the next. Before any training the loss should be close to that of guessing, $\ln V$.

# %%
loaded = load_data(config)
make_batches = CaptionBatches(loaded.train, loaded.vocabulary, config.batch_size, config.max_length)
source, inputs, targets, mask = next(iter(make_batches(config.seed, epoch=0)))
print(f"pictures {source.shape}, captions {inputs.shape}")
for read, expected in zip(inputs[:2].numpy(), targets[:2].numpy(), strict=True):
    print(f"reads   {' '.join(loaded.vocabulary.decode(read))}\nexpects {' '.join(loaded.vocabulary.decode(expected))}")
model = build_model(config, len(loaded.vocabulary), loaded.encoder)
logits, weights = model(source, inputs)
print(f"logits {logits.shape} = captions, words, vocabulary; attention {weights.shape} = captions, words, cells")
loss = masked_mean(smoothed_cross_entropy(logits, targets, 0.0)[1], mask)
print(f"loss {loss:.3f}, ln V {math.log(len(loaded.vocabulary)):.3f}")

# %% tags=["include"]
from examples.image_captioning.demo import PhotoCaptioner, BeamSearchOptions

# %% tags=["include"]
from examples.image_captioning.caption_figures import draw_caption

# %% [markdown]
# ## Train
#
# Everything is defined; this puts it to work. A line comes after every epoch: the loss on the captions it learns
# from, and `val_loss`, on pictures that it does not learn from.

# %%
run = train(config)

# %% [markdown]
# One held-out picture, described before training and after every epoch. Watch the light, not only the words.

# %%
display(Picture(filename=run.figures / "training.gif"))

# %%
display(Picture(filename=run.figures / "learning_curve.png"))

# %% [markdown]
# Captions of some more images, and the attention for each word. The number beside a word is the peak of the attention
# in multiples of uniform attention.

# %%
for number in range(1, 4):
    display(Picture(filename=run.figures / f"caption_{number}.png"))

# %% [markdown]
# ## Describe a picture of your own
#
# With `tiny` the model knows nothing but shapes, so draw it a scene: change colour, shape or place, and run the cell
# again. With photos, replace `picture` by `read_image(Path("/content/mine.jpg")).convert("RGB")`.

# %%
mine = Scene([Shape("yellow", "circle", (8, 20, 25, 37)), Shape("purple", "square", (40, 22, 57, 39))], "left of")
picture = mine.draw()
captioner = PhotoCaptioner.load(run)
caption = captioner.caption_image(picture, BeamSearchOptions(beam=3))
print(caption.text)
display(attention_overlay.sheet(picture, caption.words, caption.attention, caption.text))

# %% tags=["include"]
from examples.image_captioning.caption_metrics import compute_metrics

# %% tags=["include"]
from examples.image_captioning.pointing import PointingGame

# %% tags=["include"]
from examples.image_captioning.evaluate import evaluate

# %%
for name, value in flatten(evaluate(run, data_dir=config.data_dir)).items():
    print(f"{name:<26} {format_value(value)}")

# %% [markdown]
# ## Now try
#
# Each is a change of one line; then run from the cell on that you changed.
#
# - **Photos**: `PRESET = "quick"`.
# - **More photos**: `config = replace(PRESETS["quick"], data="coco", images=2000, fresh=True)`.
# - **Your own album**: `config = replace(PRESETS["quick"], data="/content/album", fresh=True)`, a folder of photos
#   with a `captions.tsv`: a name, a tab and a caption on each line.
# - **Without the auxiliary loss**: set `AUXILIARY_LOSS_WEIGHT = 0.0` and train again. The captions may stay right. Does
#   attention still point?
# - **The paper's doubly stochastic loss**: `config = replace(PRESETS[PRESET], doubly_stochastic_weight=1.0,
#   fresh=True)` pushes attention towards every cell. What becomes of pointing?
# - **Things it never saw together**: the held-out scenes show such pairs only. In the next cell, add a third thing.

# %%
crowded = Scene([*mine.shapes, Shape("red", "triangle", (24, 44, 41, 61))]).draw()
caption = captioner.caption_image(crowded, BeamSearchOptions(beam=3))
display(attention_overlay.sheet(crowded, caption.words, caption.attention, caption.text))
