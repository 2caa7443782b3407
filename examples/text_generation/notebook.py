# %% [markdown]
# # Text generation: a recurrent network writes one character at a time
#
# You will train a recurrent language model on a play. It predicts the next character from all characters before it.
# This is its only objective; it learns spelling, words, names and verse from it. You will see:
#
# - a prompt continued after each epoch: first noise, then spelling, then speakers and lines,
# - a passage shaded by the loss of each character,
# - the loss in nats per character, on text that was held out.
#
# There are five steps: download, preprocess, define the model, train it, use it. As it stands, the notebook trains on a
# short play that comes with the code, in less than a minute. One word in *Settings* changes that to Shakespeare. Model,
# loss and training step stand here in full: change one of them, and run the cells from there on.
#
# The recurrent cell is the GRU of Cho et al. 2014 (arXiv:1406.1078). Character-level generation was made popular by
# Karpathy's [*The unreasonable effectiveness of recurrent neural
# networks*](https://karpathy.github.io/2015/05/21/rnn-effectiveness/).

# %% [markdown]
# ## Settings
#
# `tiny` is the short play, without a download. `quick` is one megabyte of Shakespeare: five to ten minutes on two
# processor cores; `full`, a larger model, takes a quarter of an hour. All settings and their reasons are in
# `examples/text_generation/config.py`; any of them can be changed here.

# %%
"""The lesson of text generation; `make notebooks` composes the notebook from it."""

from dataclasses import replace

from examples.text_generation.config import PRESETS, EvaluateOptions

PRESET = "tiny"  # @param ["tiny", "quick", "full"]
config = replace(PRESETS[PRESET], fresh=True)  # fresh: train anew whenever the cell that trains is run

# %% [markdown]
# ## Steps 1 and 2: from a text to batches
#
# Each different character gets an id; V is the number of characters. The last tenth of the text is the validation text.

# %%
from examples.text_generation.data import load_corpus, training_batches

corpus = load_corpus(config.data, config.window, config.data_dir, **config.corpus())
vocabulary = corpus.vocabulary
print(f"{len(corpus.train):,} characters to train, {len(corpus.validation):,} to validate")
print(f"V = {len(vocabulary)}:", "".join(vocabulary.symbols).replace("\n", "↵"))
text = "".join(vocabulary.decode(corpus.train[:40]))
print(f"{text!r} -> {vocabulary.encode(text)[:12]} ...")

# %% [markdown]
# The text is cut into B equally long streams, and a batch holds the next T characters of each. The targets are the
# inputs one character later. Each stream of a batch continues that of the batch before, so that the state can be
# carried on; `is_start` is True for the first batch of an epoch, which begins at a zero state. Each epoch starts at
# another random position of the text. The mask is False for the padding after the end of the text.

# %%
batches = training_batches(corpus.train, config.batch_size, config.window, config.seed, epoch=0)
for inputs, targets, mask, is_start in batches.take(2):
    print(f"inputs {inputs.shape}, targets {targets.shape}, mask {mask.shape}, start of streams: {bool(is_start)}")
    for name, ids in (("inputs", inputs), ("targets", targets)):
        print(f"  first stream, {name:<8} {''.join(vocabulary.decode(ids[0].numpy()))!r}")

# %% [markdown]
# ## Step 3: the model

# %%
from collections.abc import Callable

import keras
import tensorflow as tf

from common.app.lesson import method_of  # continues a class in a later cell
from common.nn.carried_state import CarriedState  # keeps the state from one batch to the next in variables
from common.nn.gradients import apply_gradients  # tape.gradient and optimizer.apply_gradients
from common.nn.recurrent_stack import Cell, RecurrentStack  # keras.layers.GRU or LSTM one above the other, faster
from common.nn.replicas import sum_over_replicas  # returns its argument, unless several devices share a batch

tf.get_logger().setLevel("ERROR")  # no warnings that a function is compiled for several models

# %% tags=["source"]
from examples.text_generation.model import Batch, CharRNN, State

# %% [markdown]
# ### Check the equations
#
# Here are the equations of the GRU for the first character of each stream. `RecurrentStack` computes the same, for all
# characters and faster. Keras stores the weights of $z$, $r$ and $\tilde h$ side by side. Vectors are rows in the code,
# so `x @ kernel` stands for $W x$. The difference must be about 1e-7, the rounding of float32.

# %%
keras.config.set_dtype_policy("float32")  # a training may have set bfloat16
network = CharRNN(len(vocabulary), config.embedding_dim, config.units).build_weights()  # a GRU, whatever the settings
kernel, recurrent_kernel, biases = network.rnn.rnn_layers[0].weights
bias, recurrent_bias = tf.unstack(biases)  # 3U each
h = tf.random.normal([config.batch_size, config.units], seed=1)  # B U, an arbitrary previous state
x_z, x_r, x_h = tf.split(network.embedding(inputs[:, 0]) @ kernel + bias, 3, axis=-1)  # B U each
u_z, u_r, u_h = tf.split(h @ recurrent_kernel + recurrent_bias, 3, axis=-1)  # B U each
z, r = tf.sigmoid(x_z + u_z), tf.sigmoid(x_r + u_r)
new_h = z * h + (1 - z) * tf.tanh(x_h + r * u_h)
_, [[layer_h]] = network(inputs[:, :1], [[h]])  # one layer, whose state is one tensor
print(f"largest difference between equations and layer: {tf.reduce_max(abs(new_h - layer_h)):.1e}")

# %% tags=["source"]
from examples.text_generation.model import cross_entropy

# %% tags=["source"]
from common.nn.losses import masked_mean

# %% tags=["source"]
from examples.text_generation.model import TrainableCharRNN

# %% [markdown]
# ### Check the untrained model
#
# The softmax of the logits gives the probability of each character. Before training all V characters are about equally
# likely, so the loss should be near $-\ln \frac{1}{V} = \ln V$. Check this whenever you change the model.

# %%
import math

from examples.text_generation.demo import Sampling, TextGenerator, build_model

model = build_model(config, len(vocabulary), TrainableCharRNN)
logits, state = model(inputs, model.initial_state(config.batch_size))
print(f"inputs {inputs.shape} -> logits {logits.shape}; state of the first layer {state[0][0].shape}")
print(f"loss {masked_mean(cross_entropy(logits, targets), mask):.3f}, ln V {math.log(len(vocabulary)):.3f}")

# %% [markdown]
# A character is drawn from these probabilities, and becomes the next input. Untrained, the model writes noise:

# %%
prompt = config.prompt or corpus.prompt
[continuation] = TextGenerator(model, vocabulary).generate(prompt, 80, Sampling(temperature=1.0))
print(prompt + continuation)

# %% [markdown]
# ### Run one training step
#
# The tape gives the gradient of the loss with respect to each weight. No norm should be zero or huge.

# %%
with tf.GradientTape() as tape:
    logits, _ = model(inputs, model.initial_state(config.batch_size), training=True)
    loss = masked_mean(cross_entropy(logits, targets), mask)
variables = model.trainable_variables
for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
    print(f"{variable.path:<60} {tf.norm(tf.convert_to_tensor(gradient)):.4f}")  # of an embedding it may be sparse

# %% [markdown]
# `train_step` does the same, but starts from the carried state, and updates the weights. Repeated on the second of
# the two batches printed above, it must reduce the loss:

# %%
from examples.text_generation.train import build_optimizer, build_schedule, train

model.compile(build_optimizer(config, build_schedule(config, total_steps=100)))  # Muon and Adam, see train.py
losses = [float(model.train_step((inputs, targets, mask, is_start))["loss"]) for _ in range(20)]
print("losses of every fourth step:", *(f"{loss:.3f}" for loss in losses[::4]))

# %% [markdown]
# ## Step 4: train
#
# `train` builds a new model and runs all epochs. `loss` is the mean over the steps of an epoch, with dropout;
# `val_loss` is measured after the epoch, on the validation text. Where `val_loss` rises while `loss` falls, the model
# learns the text by heart. The best weights are kept. After an interrupt, write `fresh=False` in *Settings* and run
# that cell and this one: the training goes on.

# %%
run = train(config, TrainableCharRNN, CharRNN)

# %% [markdown]
# The same prompt, before training and after each epoch:

# %%
from IPython.display import Image, display

display(Image(filename=run.figures / "training.gif"))

# %% [markdown]
# The loss by epoch, in nats per character, on a logarithmic axis. The dotted line is $\ln V$, the circle the best
# epoch.

# %%
display(Image(filename=run.figures / "learning_curve.png"))

# %% [markdown]
# Each character of this validation passage is shaded by its loss in bits, $-\log_2 p$. Below it stand the three
# likeliest characters. Words of the training text are easy to predict. In new words even letters in the middle have a
# high loss. After training on Shakespeare, mostly the first letters of words have a high loss.

# %%
display(Image(filename=run.figures / "loss_heatmap.png"))

# %% [markdown]
# ## Step 5: generate
#
# The **temperature** divides the logits: below 1 likely characters become likelier, above 1 all become more equal. This
# loop draws one character after the other:

# %%
generator = TextGenerator.load(run, CharRNN)


def generate(prompt, length, temperature):
    """Return a continuation of `prompt`, drawn character by character."""
    decode_step = generator.model.make_decode_step()
    logits, state = generator.model(vocabulary.encode(prompt)[None], generator.model.initial_state(1))  # 1 T V
    logits, drawn = logits[:, -1], []  # 1 V
    for _ in range(length):
        ids = tf.random.categorical(logits / temperature, 1)[:, 0]  # 1
        logits, state = decode_step(ids, state)  # 1 V
        drawn.append(int(ids[0]))
    return "".join(vocabulary.decode(drawn))


print(prompt + generate(prompt, 100, temperature=0.8))

# %% [markdown]
# `TextGenerator` does the same in compiled code, and can restrict the choice to the likeliest characters (*top-k*,
# *top-p*).

# %%
for temperature in (0.3, 0.8, 1.5):
    [continuation] = generator.generate(prompt, 150, Sampling(temperature))
    print(f"--- temperature {temperature}\n{prompt}{continuation}\n")

# %% [markdown]
# ## Measure
#
# The loss on the validation text in nats and in bits, and the perplexity $e^{\mathrm{loss}}$: the number of equally
# likely characters that would be as hard to predict. `bits_per_byte` is the loss per byte of UTF-8, in which characters
# beyond ASCII take several bytes. `windows_256` starts every 256 characters with a zero state. (For `tiny` it is the
# lower one: there a validation stream has only 40 characters, so that a window of 256 gives more context.)

# %%
from common.app.report import flatten, format_value
from examples.text_generation.evaluate import evaluate

for name, value in flatten(evaluate(EvaluateOptions(run=run.path, data_dir=config.data_dir), TrainableCharRNN)).items():
    print(f"{name:<28} {format_value(value)}")

# %% [markdown]
# ## Exercises
#
# Each changes one thing; undo it before the next. Run from the changed cell on; after a change of the model, also the
# cells that continue the class. What is added to `call` also belongs in `make_decode_step`, which generates.
# `PRESET = "quick"` trains on Shakespeare, and `PRESETS["quick"].with_data("/content/novel.txt", fresh=True)` on your
# own text. The results below are those of `tiny`.
#
# 1. **Drop the state between batches**: in `TrainableCharRNN.train_step`, replace `reset=is_start` by `reset=True`.
#    Each window then starts without memory. How much does `val_loss` rise?
#
#    <details><summary>Result</summary>Hardly: the best `val_loss` is 1.624 instead of 1.623. `tiny` cannot show more:
#    its validation text is one batch of windows of 40 characters, which all start from a zero state. With `quick`, a
#    validation stream has 140 windows.</details>
# 2. **Keras' initial embedding**: in `CharRNN.__init__`, delete `embeddings_initializer=unit_normal`. Compare the
#    losses of the first epochs.
#
#    <details><summary>Result</summary>Learning starts slowly: after the first epoch `val_loss` is 3.83 instead of
#    3.30, and the best is 1.84 instead of 1.62. All embeddings are nearly equal at first.</details>
# 3. **An LSTM**: `config = replace(PRESETS[PRESET], cell="lstm", fresh=True)`. Is it better than the GRU?
#
#    <details><summary>Result</summary>Not on so short a text: the best `val_loss` is 1.658. An LSTM has three gates
#    and a candidate where a GRU has two and one, and so a third more recurrent weights.</details>
# 4. **The loss of your own words**: run the next cell with another text of the characters above. Which have the
#    highest loss? (The first character is only context, and is not drawn.)

# %%
from examples.text_generation.demonstrate.loss_heatmap import character_losses, draw_loss_heatmap

text = "OLD TOM:\nThe ship has come home with the tide.\n"
draw_loss_heatmap(character_losses(generator, text, context=1), run.figures / "mine.png")
display(Image(filename=run.figures / "mine.png"))
