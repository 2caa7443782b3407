# %% [markdown]
# # Attention: translate Spanish to English
#
# You will train a network that maps a Spanish sentence to an English one. The data are pairs of sentences, without any
# word alignment. The network learns the alignment with **attention**: for each target word it computes a weighted sum
# of the source vectors. You will see:
#
# - the attention weights, nearly uniform before training, align the words of both languages afterwards,
# - translations of your own sentences, by greedy search and by beam search,
# - BLEU, the usual metric of translations, on sentences that were held out.
#
# There are five steps: download, preprocess, define the model, train it, use it. As it stands, the notebook trains on
# sentences that a small grammar generates, in less than a minute. One word in *Settings* changes that to 118,964 pairs
# written by people. Model, loss and training step stand here in full: change one, and run the cells from there on.
#
# The paper: Bahdanau, Cho and Bengio 2015, *Neural machine translation by jointly learning to align and translate*
# (arXiv:1409.0473).

# %% [markdown]
# ## Settings
#
# `tiny` is the grammar, without a download. `quick` are the sentences of Tatoeba: ten minutes on two processor cores;
# `full`, a model three times as large, takes an hour to an hour and a half. All settings and their reasons are in
# `examples/nmt_attention/config.py`; any of them can be changed here.

# %%
"""The lesson of translation; `make notebooks` composes the notebook from it."""

from dataclasses import replace

from examples.nmt_attention.config import PRESETS, EvaluateOptions

PRESET = "tiny"  # @param ["tiny", "quick", "full"]
config = replace(PRESETS[PRESET], fresh=True)  # fresh: train anew whenever the cell that trains is run

# %% [markdown]
# ## Steps 1 and 2: from sentences to batches
#
# A sentence is cut into tokens: words and punctuation marks. The joiner `￭` marks the side on which no space belongs,
# so that the sentence can be restored.

# %%
from examples.nmt_attention.data import EncodedPairs, load_corpus
from examples.nmt_attention.preprocess.tokenizer import END, PAD, START

corpus = load_corpus(config.data, **config.corpus(), data_dir=config.data_dir)
print(f"pairs: {len(corpus.train):,} to train, {len(corpus.validation):,} to validate, {len(corpus.test):,} to test")
for text, tokenizer in zip(corpus.train[0], (corpus.source_tokenizer, corpus.target_tokenizer), strict=True):
    print(f"{text} -> {tokenizer.tokenise(text)}")

# %% [markdown]
# Each token gets an id. A batch holds B pairs of similar length: up to S source and T target tokens. Shorter ones are
# padded with `<pad>`, and each target ends with `<end>`, because the model has to learn where to stop.

# %%
pairs = EncodedPairs(corpus.train, corpus.source_tokenizer, corpus.target_tokenizer)
source, targets = next(iter(pairs.batches(config.batch_size, config.seed, epoch=0)))  # B S, B T
for ids, tokenizer in ((source, corpus.source_tokenizer), (targets, corpus.target_tokenizer)):
    print(f"{ids.shape} {ids.dtype.name}; the first two rows and their tokens:")
    for row in ids[:2].numpy():
        print(row, " ".join(tokenizer.vocabulary.symbols[i] for i in row))

# %% [markdown]
# ## Step 3: the model
#
# The **encoder** computes a vector, the *annotation*, for each source word. The **decoder** predicts one target word
# after the other. **Attention** connects them, and is defined first. Shapes in comments: B batch, S source, T target, E
# embedding, U encoder units, D decoder units, Q width of a query, A attention units, V vocabulary.

# %%
from collections.abc import Callable
from functools import partial

import keras
import tensorflow as tf

from common.app.lesson import method_of  # continues a class in a later cell
from common.nn.attention_gru import AttentionMemory  # a tuple: values, keys, projected values (below), mask
from common.nn.dropout import Dropout  # keras.layers.Dropout, different on each device
from common.nn.embedding import unit_normal_embedding  # keras.layers.Embedding, initialised with N(0, 1)
from common.nn.gradients import apply_gradients  # tape.gradient and optimizer.apply_gradients
from common.nn.recurrent import GRU  # keras.layers.GRU, faster on a CPU
from common.nn.replicas import sum_over_replicas  # returns its argument, unless several devices share a batch
from common.nn.scan import scan_time  # the loop over time: s_t, o_t = step(x_t, s_{t-1})
from common.nn.tied_logits import TiedLogits  # logits x . e_v / sqrt(E) with the rows e_v of the embedding

tf.get_logger().setLevel("ERROR")  # no warnings that a function is compiled for several models

# %% tags=["source"]
from examples.nmt_attention.attention import BahdanauAttention

# %% tags=["source"]
from common.nn.attention_gru import weighted_sum

# %% [markdown]
# Try the layer alone: two sentences, the second with two positions of padding, and a query for each. The layer is
# untrained, so the weights are arbitrary. Yet each row adds up to one, and padding gets zero.

# %%
values = keras.random.normal([2, 5, 8], seed=1)  # B S 2U
mask = tf.constant([[True, True, True, True, True], [True, True, True, False, False]])  # B S
query = keras.random.normal([2, 4], seed=2)  # B Q
attention = BahdanauAttention(units=16)
context, weights = attention(query, attention.project_keys(values), values, mask)
print(f"context {context.shape}, weights {weights.shape}:\n{weights.numpy().round(3)}")

# %% tags=["source"]
from examples.nmt_attention.model import Encoder

# %% [markdown]
# ### The cell of the decoder
#
# The decoder is a GRU whose input is the previous word and the context, $[E y_{t-1}; c_t]$. Here vectors are rows, as
# in the code. With $x = E y_{t-1}$, $s = s_{t-1}$ and $c = c_t$, the gates $z$ and $r$ and the candidate $n$ are
#
# $$z = \sigma(x W_z + c\, C_z + s\, U_z) \qquad r = \sigma(x W_r + c\, C_r + s\, U_r)$$
# $$n = \tanh(x W_n + c\, C_n + r (s\, U_n)) \qquad s_t = z s + (1 - z) n$$
#
# Compared with the paper, $z$ and $1 - z$ are exchanged, as in Cho et al. 2014, and $r$ is applied after the product
# with $U_n$, as in cuDNN. The products $x W$ of all words are computed at once. The context is a weighted sum, so its
# product is the weighted sum of the products: $c\, C = \sum_j \alpha_j (h_j C)$. All $h_j C$ are computed once per
# sentence.

# %% tags=["source"]
from common.nn.attention_gru import AttentionGRUCell

# %% tags=["source"]
from examples.nmt_attention.model import Decoder

# %% [markdown]
# ### The loss
#
# `smoothed_cross_entropy` returns the loss with label smoothing, which is trained, and the plain negative
# log-likelihood (nll), which is reported. `masked_mean` omits the padding.

# %% tags=["source"]
from common.nn.losses import masked_mean, smoothed_cross_entropy

# %% tags=["source"]
from examples.nmt_attention.model import Translator, shift_right

# %% [markdown]
# ### Check the untrained model
#
# The softmax of the logits gives the probability of each word of the vocabulary. Before training all words are about
# equally likely, so the loss should be near $-\ln \frac{1}{V} = \ln V$. Check this whenever you change the model.

# %%
import math

from examples.nmt_attention.train import build_model, build_optimizer, build_schedule, train

sizes = len(corpus.source_tokenizer), len(corpus.target_tokenizer)
model = build_model(config, *sizes, model_class=Translator)
logits, weights = model(source, shift_right(targets))
print(f"source {source.shape}, targets {targets.shape} -> logits {logits.shape}, attention weights {weights.shape}")
_, nll = smoothed_cross_entropy(logits, targets, label_smoothing=0.0)
print(f"loss {masked_mean(nll, targets != PAD):.3f}, ln V {math.log(sizes[1]):.3f}")

# %% [markdown]
# Its translation is arbitrary, and its attention weights are nearly uniform. Each row of the map is one of the
# first eight words of the translation, each column a word of the source; dark means a large weight.

# %%
from IPython.display import Image, display

from examples.nmt_attention.demo import SentenceTranslator
from examples.nmt_attention.demonstrate.attention_plots import draw_attention

untrained = SentenceTranslator(model, corpus.source_tokenizer, corpus.target_tokenizer, max_tokens=10)
translations = [best for [best] in untrained.translate([source for source, _ in corpus.validation[:20]])]
longest = max(translations, key=lambda best: len(best.tokens))
display(draw_attention(replace(longest, tokens=longest.tokens[:8], attention=longest.attention[:8])))

# %% [markdown]
# ### Run one training step
#
# These are the gradients of one batch, layer by layer. The gradient reaches the encoder only through the attention and
# the first state, so the gradients of the encoder are smaller than those of the output layer. No norm should be zero or
# huge.

# %%
with tf.GradientTape() as tape:
    logits, _ = model(source, shift_right(targets), training=True)
    loss = masked_mean(smoothed_cross_entropy(logits, targets, config.label_smoothing)[0], targets != PAD)
variables = model.trainable_variables
for variable, gradient in zip(variables, tape.gradient(loss, variables), strict=True):
    print(f"{variable.path:<70} {tf.norm(tf.convert_to_tensor(gradient)):.4f}")

# %% [markdown]
# `train_step` does the same and updates the weights. Repeated on a single batch, it must reduce the loss:

# %%
model.compile(build_optimizer(config, build_schedule(config, total_steps=100)))  # Muon and Adam, see train.py
losses = [float(model.train_step((source, targets))["loss"]) for _ in range(30)]
print("losses of every fifth step:", *(f"{loss:.3f}" for loss in losses[::5]))

# %% [markdown]
# ## Step 4: train
#
# `train` builds a new model and runs all epochs. `loss` is the mean over the steps of an epoch, with dropout;
# `val_loss` and `val_accuracy` are measured after the epoch, on the validation pairs. The best weights are kept.

# %%
run = train(config, Translator)

# %% [markdown]
# The attention weights of one validation pair, before training and after each epoch:

# %%
display(Image(filename=run.figures / "training.gif"))

# %% [markdown]
# The loss by epoch, in nats per token, on a logarithmic axis. The dotted line is $\ln V$, the circle the best epoch.

# %%
display(Image(filename=run.figures / "learning_curve.png"))

# %% [markdown]
# ## Step 5: translate
#
# In training the decoder receives the correct previous words. To translate, it receives its own. **Greedy search**
# takes the most likely word at each step until `<end>`:

# %%
translator = SentenceTranslator.load(run, Translator)


def greedy(sentence):
    """Print the most likely words of the translation, with the source token of the largest weight."""
    tokens = corpus.source_tokenizer.tokenise(sentence)
    source = tf.constant([corpus.source_tokenizer.encode(tokens)])  # 1 S
    encoder, decoder = translator.model.encoder, translator.model.decoder
    values, mask = encoder(source, source != PAD), source != PAD  # 1 S 2U, 1 S
    state, memory = decoder.initial_state(values, mask), decoder.prepare_attention(values, mask)
    decode_step, ids = decoder.make_decode_step(), [START]
    while ids[-1] != END and len(ids) < 20:
        logits, state, weights = decode_step(tf.constant(ids[-1:]), state, memory)  # 1 V, 1 D, 1 S
        ids.append(int(tf.argmax(logits[0])))
        word = corpus.target_tokenizer.vocabulary.symbols[ids[-1]]
        print(f"{word:<10} p {tf.nn.softmax(logits)[0, ids[-1]]:.3f}  attends to {tokens[tf.argmax(weights[0])]}")


greedy("La niña pequeña pinta el árbol viejo.")

# %% [markdown]
# `SentenceTranslator` does the same for many sentences at once, in compiled code. The words of the grammar are *gato,
# ratón, niña, mujer, pájaro, león, abuela, casa, árbol, manzana, flor, camión, canción; rojo, pequeño, viejo, grande,
# feliz; ve, quiere, pinta, encuentra*, with *el, la, este, no, ¿dónde está …?* With `quick`, rare words are `<unk>` in
# training, and where `<unk>` is predicted, the source word with the largest weight is copied. `tiny` has no rare words:
# it translates an unknown word by a wrong one.

# %%
sentence = "La niña pequeña pinta el árbol viejo."  # @param {type: "string"}
[[translation]] = translator.translate([sentence])
print(f"{sentence} -> {translation.text}")
display(draw_attention(translation))

# %% [markdown]
# Spanish has the adjective after the noun, English before it. Therefore the large weights leave the diagonal there.
#
# **Beam search** keeps the most likely *hypotheses*, unfinished translations, at each step; here five. The score is the
# mean of $\ln p$ per token, `<end>` included. With `tiny`, a score below about $-0.5$ is poor.

# %%
[candidates] = translator.translate([sentence], beam=5)
for candidate in candidates:
    print(f"{candidate.score:7.3f}  {candidate.text}")

# %% [markdown]
# ## Measure
#
# BLEU compares the sequences of one to four words of a translation with those of the reference (Papineni et al. 2002);
# chrF is an F-score of character n-grams (Popović 2015). Both are at most 100. TER counts the edits that are needed, in
# percent of the words; 0 is best. The grammar knows the alignment, so the attention can be measured, too: `alignment`
# is measured on the reference translations. It is the fraction of nouns, verbs and adjectives for which the largest
# weight is on the right source word. How each row is computed is written in `evaluation.json` of the run.

# %%
from common.app.report import flatten, format_value
from examples.nmt_attention.evaluate import evaluate

for name, value in flatten(evaluate(EvaluateOptions(run=run.path, data_dir=config.data_dir), Translator)).items():
    print(f"{name:<26} {format_value(value)}")

# %% [markdown]
# ## Exercises
#
# Each changes one thing; undo it before the next. Run from the changed cell on (also the cells that continue a class).
# What is added to `Decoder.call` also belongs in its `make_decode_step`, which translates. `PRESET = "quick"` trains on
# real sentences, and `PRESETS["quick"].with_data("/content/deu.txt", columns="2,1", fresh=True)` on a file of
# manythings.org/anki, whose English comes first. The results below are those of `tiny`.
#
# 1. **Remove the attention, keep the context**: in `BahdanauAttention.call`, write `0.0 * energies` in place of
#    `energies` in `tf.where`. All words get the same weight. Which sentences suffer most?
#
#    <details><summary>Result</summary>The long ones. `val_loss` ends at 0.19 instead of 0.08, and 90 % of the greedy
#    translations are exact instead of 100 %. BLEU remains 100 up to five words and falls to 94 for six to ten. All
#    columns of a map are equally dark. Real, longer sentences suffer more.</details>
# 2. **Remove the mask**: there, use `energies` without `tf.where`. Does the loss show it? Print
#    `translation.attention.sum(axis=1)` of a sentence, too.
#
#    <details><summary>Result</summary>The loss does not: `val_loss` is 0.08 again, because batches of similar length
#    have hardly any padding. But a single sentence is padded to 16 tokens, and the weights of its words then add up to
#    0.58 to 0.99 instead of 1. The rest is on padding.</details>
# 3. **Read in one direction**: in `Encoder.call`, write `0.0 * backward` in place of `tf.reverse(backward, axis=[1])`.
#    The translations may still be right. What happens to `alignment`?
#
#    <details><summary>Result</summary>All translations are exact, with a `val_loss` of 0.08. Yet `alignment` falls from
#    0.97 to 0.83. A vector $h_j$ now depends on the words up to $j$ only. The vector of an adjective also contains
#    the noun before it, so for the noun the largest weight is often one word too far to the right.</details>
