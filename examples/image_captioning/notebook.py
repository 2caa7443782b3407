# %% [markdown]
# # Describing pictures, and seeing where the model looks
#
# You will train a network that looks at a picture and says in a sentence what is in it. Before each word it decides
# where to look: **visual attention**. You will see:
#
# - descriptions getting right, epoch by epoch, with the picture lit where the model looked for each word,
# - pictures of your own described,
# - whether it really looks at what it names, which good sentences alone do not show.
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
from common.viz import attention_overlay
from common.app.report import flatten, format_value
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
from examples.image_captioning.scenes import Scene, Thing, make_scenes

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
from examples.image_captioning.eyes import TinyEyes

# %% [markdown]
# ## The model
#
# It begins with the part that looks.

# %% tags=["include"]
from examples.image_captioning.attention import Attention

# %% [markdown]
# ### Try attention alone
#
# One picture of four cells, and two words that each ask their question. The layer is untrained, so where it looks is
# arbitrary; but each row of weights adds up to one.

# %%
attention = Attention(units=16)
cells = tf.random.stateless_normal([1, 4, 8], seed=[1, 2])  # B L W
questions = tf.random.stateless_normal([1, 2, 6], seed=[3, 4])  # B T U
(seen_where, seen_what), weights = attention(questions, cells, cells, attention.key(cells))
print("seen", seen_where.shape, "= pictures, words, channels; weights", weights.shape, "= pictures, words, cells")
print(weights.numpy().round(3))

# %% tags=["include"]
from examples.image_captioning.model import TrainableCaptioner, cross_entropy, masked_mean

# %% tags=["include"]
from examples.image_captioning.train import load_data, train

# %% [markdown]
# ### Look at a batch, and check the untrained model
#
# The decoder reads the right caption, one word behind: at each place it has seen the words before, and has to predict
# the next. Before any training the loss should be close to that of guessing, $\ln V$.

# %%
loaded = load_data(config)
make_batches = CaptionBatches(loaded.train, loaded.vocabulary, config.batch_size, config.most_words)
source, inputs, targets, mask = next(iter(make_batches(config.seed, epoch=0)))
print(f"pictures {source.shape}, captions {inputs.shape}")
for read, expected in zip(inputs[:2].numpy(), targets[:2].numpy(), strict=True):
    print(f"reads   {' '.join(loaded.vocabulary.decode(read))}\nexpects {' '.join(loaded.vocabulary.decode(expected))}")
model = TrainableCaptioner(len(loaded.vocabulary), loaded.encoder, **config.losses(), **config.architecture())
logits, weights = model(source, inputs)
print(f"logits {logits.shape} = captions, words, vocabulary; attention {weights.shape} = captions, words, cells")
loss = masked_mean(cross_entropy(logits, targets)[0], mask)
print(f"loss {loss:.3f}, guessing {math.log(len(loaded.vocabulary)):.3f}")

# %% tags=["include"]
from examples.image_captioning.demo import PhotoCaptioner, Search

# %% tags=["include"]
from examples.image_captioning.pictures import draw_caption

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
# What it says of some more, and where it looked for each word. The number beside a word is the peak of the attention
# in multiples of looking everywhere alike.

# %%
for number in range(1, 4):
    display(Picture(filename=run.figures / f"caption_{number}.png"))

# %% [markdown]
# ## Describe a picture of your own
#
# With `tiny` the model knows nothing but shapes, so draw it a scene: change colour, shape or place, and run the cell
# again. With photos, replace `picture` by `read_image(Path("/content/mine.jpg")).convert("RGB")`.

# %%
mine = Scene([Thing("yellow", "circle", (8, 20, 25, 37)), Thing("purple", "square", (40, 22, 57, 39))], "left of")
picture = mine.draw()
captioner = PhotoCaptioner.load(run)
described = captioner.caption_image(picture, Search(beam=3))
print(described.text)
display(attention_overlay.sheet(picture, described.words, described.attention, described.text))

# %% tags=["include"]
from examples.image_captioning.scores import score

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
# - **No reason to look**: `config = replace(PRESETS[PRESET], looking=0.0, fresh=True)`. The captions may stay right.
#   Do the maps?
# - **The paper's penalty**: `penalty=1.0`, in the same place, wants every cell looked at. What becomes of pointing?
# - **No gate**: `gate="none"`.
# - **Things it never saw together**: the held-out scenes show such pairs only. In the next cell, add a third thing.

# %%
crowded = Scene([*mine.things, Thing("red", "triangle", (24, 44, 41, 61))]).draw()
described = captioner.caption_image(crowded, Search(beam=3))
display(attention_overlay.sheet(crowded, described.words, described.attention, described.text))
