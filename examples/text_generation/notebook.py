# %% [markdown]
# # Writing like Shakespeare, one character at a time
#
# You will train a small recurrent network that reads plays character by character and learns to be less surprised by
# the next one. Nobody tells it about words, names or verse. At the end it writes, and you see:
#
# - the same prompt continued after every epoch: first noise, then spelling, then speakers and lines,
# - a passage with each character shaded by its negative log-likelihood, with the model's predictions,
# - a number, nats per character on text that it never saw, that can be compared with other models.
#
# There are five steps: download, preprocess, define the model, train it, use it. Each is first defined and explained;
# then *Train* puts them to work.
#
# All code that matters is in this notebook: change any of it, run the cell again, and train again. As it stands, it
# learns from a play of a few kilobytes in a quarter of a minute; one word, in *Settings*, makes that the real thing.
#
# The recurrent cell is the GRU of Cho et al. 2014 (arXiv:1406.1078); a network that writes character by character is
# the idea of Karpathy's [*The unreasonable effectiveness of recurrent neural
# networks*](https://karpathy.github.io/2015/05/21/rnn-effectiveness/).

# %% [markdown]
# ## Settings

# %% tags=["include"]
"""The notebook's own words and cells, and the order of the rest; `make notebooks` composes them."""

import math
from dataclasses import replace

from IPython.display import Image as Picture
from IPython.display import display

from examples.text_generation.config import PRESETS

# %% [markdown]
# `tiny` is a short play that comes with the code. `quick` is one megabyte of Shakespeare: ten minutes or more on
# two processor cores. Any setting can be changed here; unfold the cell above for all of them and their reasons.

# %%
PRESET = "tiny"  # @param ["tiny", "quick", "full"]
config = replace(PRESETS[PRESET], fresh=True)  # fresh: train anew whenever the cell that trains is run

# %% tags=["include"]
from examples.text_generation.data import load_corpus, training_batches

# %% [markdown]
# ### Look at a batch
#
# Two things to see: the targets are the inputs, one character further on; and each row of the second batch goes on
# where the same row of the first one ended.

# %%
corpus = load_corpus(config.data, config.window, config.data_dir)
print(f"{len(corpus.train):,} characters to learn from, {len(corpus.validation):,} to validate on:")
print("".join(corpus.vocabulary.symbols).replace("\n", "↵"))
batches = training_batches(corpus.train, config.batch_size, config.window, config.seed, epoch=0)
for inputs, targets, mask, is_start in batches.take(2):
    print(f"\ninputs {inputs.shape}, targets {targets.shape}, mask {mask.shape}, start of the text: {bool(is_start)}")
    print("first stream in ", repr("".join(corpus.vocabulary.decode(inputs[0].numpy()))))
    print("first stream out", repr("".join(corpus.vocabulary.decode(targets[0].numpy()))))

# %% tags=["include"]
from common.nn.losses import masked_mean
from examples.text_generation.model import cross_entropy

# %% tags=["include"]
from examples.text_generation.train import build_model, train

# %% [markdown]
# ### Check the untrained model
#
# The model answers with *logits*: for each place a score for every character, of which softmax makes probabilities.
# Before any training the loss should be that of guessing, $\ln V$. It is worth a look whenever you change the model.

# %%
model = build_model(config, len(corpus.vocabulary))
logits, state = model(inputs, model.initial_state(config.batch_size))
print("logits", logits.shape, "= streams, characters, vocabulary; state of the first layer", state[0][0].shape)
print(f"loss {masked_mean(cross_entropy(logits, targets), mask):.3f}, guessing {math.log(len(corpus.vocabulary)):.3f}")

# %% tags=["include"]
from examples.text_generation.demo import Sampling, TextGenerator, read_samples

# %% tags=["include"]
from examples.text_generation.loss_heatmap import character_losses, draw_loss_heatmap

# %% [markdown]
# ## Train
#
# Everything is defined; this puts it to work. A line comes after every epoch: the loss on the text it learns from,
# and `val_loss`, on the validation text. When the first keeps falling and the second begins to climb, it learns by
# heart.

# %%
run = train(config)

# %% [markdown]
# What it made of one prompt, before training and after each epoch:

# %%
display(Picture(filename=run.figures / "training.gif"))

# %%
display(Picture(filename=run.figures / "learning_curve.png"))

# %% [markdown]
# And what it knows by now. Each character of this validation passage is shaded by its negative log-likelihood,
# $-\log_2 p$; below stand the three likeliest characters. Look at how a word is hard to begin and easy to end.

# %%
display(Picture(filename=run.figures / "loss_heatmap.png"))

# %% [markdown]
# ## Let it write
#
# The weights with the best validation loss are loaded from the run directory.

# %%
generator = TextGenerator.load(run)
prompt = read_samples(run)[0][1][:6]  # of the samples above
for temperature in (0.3, 0.8, 1.5):
    [continuation] = generator.generate(prompt, 200, Sampling(temperature=temperature))
    print(f"--- temperature {temperature}\n{prompt}{continuation}\n")

# %% tags=["include"]
from examples.text_generation.evaluate import evaluate

# %%
for name, value in evaluate(run, data_dir=config.data_dir).items():
    print(f"{name:<28} {value:.4f}")

# %% [markdown]
# ## Now try
#
# Each is a change of one line; then run from the cell on that you changed.
#
# - **The real Shakespeare**: `PRESET = "quick"`.
# - **Your own text**: `config = replace(PRESETS["quick"], data="/content/novel.txt", fresh=True)` with the path of a
#   UTF-8 text file or a folder of them. A few hundred kilobytes are enough for words, a megabyte for style.
# - **Your own prompt**: in *Let it write*, any text made of characters that the training text has.
# - **Bold or wild**: the temperatures, or `Sampling(top_k=5)`, `Sampling(top_p=0.9)`.
# - **An LSTM, or two layers**: `config = replace(PRESETS[PRESET], cell="lstm", layers=2, fresh=True)`.
# - **What the initial values are worth**: in `CharRNN`, delete `embeddings_initializer=...` and train again.
# - **What the carried state is worth**: in `CarriedState.read`, return zeros always. How much worse is `val_loss`?
# - **The loss of each character of your own text**: run the next cell with another text.

# %%
text = corpus.vocabulary.decode(corpus.validation[:200])
draw_loss_heatmap(character_losses(generator, "".join(text), context=100), run.figures / "mine.png")
display(Picture(filename=run.figures / "mine.png"))
