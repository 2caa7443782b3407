# %% [markdown]
# # Image captioning with visual attention
#
# You will train a network that captions images. For each word it computes weights over the image: **visual attention**.
# You will see:
#
# - captions that improve from epoch to epoch, with the attention of each word drawn over the image,
# - captions of your own images, by greedy search and by beam search,
# - BLEU and CIDEr, and whether attention points at what the words name. Good captions alone do not show that.
#
# There are five steps: download, preprocess, define the model, train it, use it. As it stands, the notebook trains on
# scenes of coloured shapes that the code draws, in one or two minutes. One word in *Settings* changes that to 8,000
# photos. Model, loss and training step stand here in full: change one of them, and run the cells from there on.
#
# The paper: Xu et al. 2015, *Show, attend and tell* (arXiv:1502.03044). Attention itself comes from translation
# (Bahdanau et al. 2015, arXiv:1409.0473).

# %% [markdown]
# ## Settings
#
# `tiny` are drawn scenes. `quick` is Flickr8k, 8,000 photos with five captions each: a download of 1.1 GB, and then
# 18 minutes on two processor cores; `full` also trains on mirrored photos, for twice as long. All settings and
# their reasons are in `examples/image_captioning/config.py`; any of them can be changed here.

# %%
"""The lesson of image captioning; `make notebooks` composes the notebook from it."""

from dataclasses import replace

from examples.image_captioning.config import PRESETS, EvaluateOptions

PRESET = "tiny"  # @param ["tiny", "quick", "full"]
config = replace(PRESETS[PRESET], fresh=True)  # fresh: train anew whenever the cell that trains is run

# %% [markdown]
# ## Steps 1 and 2: from images and captions to batches
#
# `load_data` loads images and captions, and computes the features of photos once. An image may have several captions.
# V is the size of the vocabulary.

# %%
import numpy as np

from common.data.images import grid
from examples.image_captioning.data import CaptionBatches
from examples.image_captioning.train import load_data

data = load_data(config)
photos, vocabulary = data.train.photos, data.vocabulary
print(f"{len(photos):,} images to train, {len(data.validation):,} to validate, V = {len(vocabulary):,}")
for photo in photos[:3]:
    print(" = ".join(photo.captions))
grid(np.stack([np.asarray(photo.open().convert("RGB").resize([64, 64])) for photo in photos[:8]]), columns=8, scale=2)

# %% [markdown]
# A batch holds B captions of similar length, of up to T words. The targets are the inputs one word later: after each
# word the model has to predict the next one. The mask is False for padding.

# %%
batches = CaptionBatches(data.train, vocabulary, config.batch_size, config.max_length)
images, inputs, targets, mask = next(iter(batches(config.seed, epoch=0)))  # B ..., B T, B T, B T
print(f"images {images.shape} {images.dtype.name}, inputs {inputs.shape}, targets {targets.shape}, mask {mask.shape}")
for name, ids in (("inputs", inputs[0]), ("targets", targets[0])):
    print(f"{name:<8} {ids.numpy()} {' '.join(vocabulary.decode(ids.numpy()))}")

# %% [markdown]
# ## Step 3: the model
#
# An image is two grids of features: the *location* features say where things are, the *content* features what they are.
# For drawn scenes a small CNN computes both from one grid.

# %%
import math
from typing import NamedTuple

import keras
import tensorflow as tf

from common.app.lesson import method_of  # continues a class in a later cell
from common.nn.dropout import Dropout  # keras.layers.Dropout, different on each device
from common.nn.gradients import apply_gradients  # tape.gradient and optimizer.apply_gradients
from common.nn.recurrent import LSTM  # keras.layers.LSTM, faster on a CPU
from common.nn.replicas import batch_mean, sum_over_replicas  # over all devices that share a batch
from common.nn.token_dropout import TokenDropout  # replaces random input words by <unk>
from examples.image_captioning.vocabulary import UNKNOWN  # the id of <unk>

# %% tags=["source"]
from examples.image_captioning.model import Batch, State

# %% tags=["source"]
from examples.image_captioning.attention import EncoderOutput, GridAttention, sum_cells

# %% [markdown]
# Try the layer alone: one image of four cells, and two hidden states. The layer is untrained, so the weights are
# arbitrary. Yet each row adds up to one.

# %%
attention = GridAttention(units=16)
cells = keras.random.normal([1, 4, 8], seed=1)  # B L C; here also B M U
hidden = keras.random.normal([1, 2, 8], seed=2)  # B T U
image = EncoderOutput(cells, cells, attention.key_projection(cells), tf.reduce_mean(cells, axis=1))
location_context, content_context, weights = attention(hidden, image)
print(f"context {location_context.shape} and {content_context.shape}, weights {weights.shape}:\n{weights.numpy()}")

# %% tags=["source"]
from examples.image_captioning.model import DeepOutput

# %% tags=["source"]
from examples.image_captioning.model import Captioner, doubly_stochastic_loss

# %% tags=["source"]
from common.nn.losses import masked_mean, smoothed_cross_entropy

# %% tags=["source"]
from examples.image_captioning.scene_captioner import AUXILIARY_LOSS_WEIGHT, SceneCaptioner, SmallConvNet
from examples.image_captioning.scene_captioner import with_mean_feature

# %% [markdown]
# ### Check the untrained model
#
# The softmax of the logits gives the probability of each word. Before training all words are about equally likely, so
# the loss should be near $-\ln \frac{1}{V} = \ln V$. Check this whenever you change the model.

# %%
from examples.image_captioning.demo import PhotoCaptioner, build_model

classes = Captioner, SceneCaptioner  # for photos, and for the scenes of `tiny`
model = build_model(config, len(vocabulary), data.extractor, classes)
logits, weights = model(images, inputs)
print(f"images {images.shape}, inputs {inputs.shape} -> logits {logits.shape}, attention weights {weights.shape}")
_, nll = smoothed_cross_entropy(logits, targets, 0.0)
print(f"loss {masked_mean(nll, mask):.3f}, ln V {math.log(len(vocabulary)):.3f}")

# %% [markdown]
# Its caption is arbitrary, and its attention is nearly uniform. The number beside each word is the largest weight in
# multiples of uniform attention: below about 2x a map says nothing, however bright it looks. Each weight is drawn as a
# Gaussian around its cell, so all maps are darker at the border.

# %%
from IPython.display import Image, display

from examples.image_captioning.demonstrate import attention_overlay


def show(captioner, picture):
    """Draw the caption of a picture with the attention for each word."""
    caption = captioner.caption_image(picture)
    words, attention = caption.words[:9], caption.attention[:9]
    display(attention_overlay.sheet(picture, words, attention, caption.text))


picture = data.validation.photos[0].open().convert("RGB")
show(PhotoCaptioner(model, data.extractor, vocabulary, max_length=6), picture)

# %% [markdown]
# ### Run one training step
#
# These are the gradients of one batch, layer by layer, without the auxiliary loss. No norm should be zero or huge.

# %%
with tf.GradientTape() as tape:
    logits, weights = model(images, inputs, training=True)
    loss = masked_mean(smoothed_cross_entropy(logits, targets, config.label_smoothing)[0], mask)
variables = [variable for variable in model.trainable_variables if "auxiliary" not in variable.path]
for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
    print(f"{variable.path:<62} {tf.norm(tf.convert_to_tensor(gradient)):.1e}")  # of an embedding it may be sparse

# %% [markdown]
# `train_step` also adds the auxiliary loss, and updates the weights. Repeated on a single batch, it must reduce the
# loss:

# %%
from examples.image_captioning.train import build_optimizer, build_schedule, train

model.compile(build_optimizer(config, build_schedule(config, total_steps=100)))
losses = [float(model.train_step((images, inputs, targets, mask))["loss"]) for _ in range(20)]
print("losses of every fourth step:", *(f"{loss:.3f}" for loss in losses[::4]))

# %% [markdown]
# ## Step 4: train
#
# `train` builds a new model and runs all epochs. `loss` is the mean over the steps of an epoch, with dropout;
# `val_loss` is measured after the epoch, on the captions of the validation images. The best weights are kept.

# %%
run = train(config, classes)

# %% [markdown]
# One validation image, before training and after each epoch. Look at the attention, not only at the words.

# %%
display(Image(filename=run.figures / "training.gif"))

# %% [markdown]
# The loss by epoch, in nats per word, on a logarithmic axis. The dotted line is $\ln V$, the circle the best epoch.

# %%
display(Image(filename=run.figures / "learning_curve.png"))

# %% [markdown]
# ## Step 5: caption an image
#
# In training the LSTM reads the true caption. To caption an image, it reads its own words. **Greedy search** takes the
# most likely word at each step until `<end>`. A scene has 8 x 8 cells; rows and columns count from 0 at the top left.

# %%
from examples.image_captioning.vocabulary import END, START

captioner = PhotoCaptioner.load(run, classes)


def greedy(image):
    """Print the most likely words with their probabilities and the cell of the largest attention weight."""
    encoded, state = captioner.model.encode(data.validation.read(np.array([image])))
    ids = [START]
    while ids[-1] != END and len(ids) < 20:
        logits, state, weights = captioner.model.decode_step(tf.constant(ids[-1:]), state, encoded)  # 1 V, 1 L
        ids.append(int(tf.argmax(logits[0])))
        probability, cell = float(tf.nn.softmax(logits)[0, ids[-1]]), int(tf.argmax(weights[0]))
        row, column = divmod(cell, math.isqrt(weights.shape[1]))
        print(f"{vocabulary.symbols[ids[-1]]:<12} p {probability:.3f}  attends to row {row}, column {column}")


greedy(0)
show(captioner, picture)

# %% [markdown]
# `show` uses **beam search**, in compiled code: at each step it keeps the three likeliest captions instead of one, and
# compares them by $\ln p$ divided by a power of their length. With `tiny` the model can caption shapes only, so draw a
# scene: change colour (red, green, blue, yellow, purple), kind (circle, square, triangle) or place (left, top, right,
# bottom, of 64 pixels), and run the cell again. Attention is
# expected to point at a shape only for the words that name shapes. For a photo, import `read_image`
# from `common.data.images`, and run `show(captioner, read_image(Path("/content/mine.jpg")).convert("RGB"))`.

# %%
from examples.image_captioning.download.toy_scenes import Scene, Shape

mine = Scene([Shape("yellow", "circle", (8, 20, 25, 37)), Shape("purple", "square", (40, 22, 57, 39))], "left of")
show(captioner, mine.draw())

# %% [markdown]
# ## Measure
#
# BLEU and CIDEr compare the captions with those that people wrote (here: with all true captions of the scene).
# `exact_match` is the fraction of captions that equal a true one. `pointing` is a fraction of the words that name a
# shape of the scene: those for which the peak of the attention, as drawn, lies in the box of such a shape.
# `pointing_chance` is the value for a random point, `pointing_centre` for the centre of the image; `pointing_error` is
# the standard error of the lead over the centre. `pointing_difficult` counts only shapes that cover less than a quarter
# of a scene that has another kind of shape, too. `attention_peak` is the mean, over the same words, of the largest
# weight in multiples of uniform attention.

# %%
from common.app.report import flatten, format_value
from examples.image_captioning.evaluate import evaluate

for name, value in flatten(evaluate(EvaluateOptions(run=run.path, data_dir=config.data_dir), classes)).items():
    print(f"{name:<26} {format_value(value)}")

# %% [markdown]
# ## Exercises
#
# Each changes one thing; undo it before the next. Run from the changed cell on (also the cells that continue a class).
# `PRESET = "quick"` trains on photos, and `PRESETS["quick"].with_data("/content/album", fresh=True)` on a folder of
# photos with a `captions.tsv`. The results below are those of `tiny`; another processor rounds otherwise, and its
# figures differ by a few percent.
#
# 1. **Without the auxiliary loss** (`tiny` only): set `AUXILIARY_LOSS_WEIGHT = 0.0`. Are the captions still right? Does
#    attention still point at the shapes?
#
#    <details><summary>Result</summary>Of the captions 93 % are exactly right instead of 97 %, and `pointing` falls
#    from 0.97 to 0.81. A scene can be captioned from the mean feature, so the captions alone give attention little
#    reason to select a shape.</details>
# 2. **The doubly stochastic loss of Xu et al.**: `config = replace(PRESETS[PRESET], doubly_stochastic_weight=1.0,
#    fresh=True)`. It pushes the total attention on every cell towards 1. What happens to `pointing`?
#
#    <details><summary>Result</summary>It falls from 0.97 to 0.43: the attention of every word is spread over the
#    image. Of the captions 81 % are exactly right.</details>
# 3. **More shapes than in training**: the next cell draws three. What does the caption leave out?
#
#    <details><summary>Result</summary>The caption names two of the three shapes and one relation, because no
#    training caption is longer. The attention of the words for colours is drawn to the third shape as
#    well.</details>

# %%
crowded = Scene([*mine.shapes, Shape("red", "triangle", (24, 44, 41, 61))])
show(captioner, crowded.draw())
