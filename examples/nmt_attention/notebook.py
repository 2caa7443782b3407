# %% [markdown]
# # Translation with attention
#
# You will train a network that translates Spanish sentences into English. The data are pairs of sentences, without any
# word alignment. The alignment is learned by **attention**: for each word of the translation, the network computes
# weights of the source words. You will see:
#
# - the attention getting sharper, epoch by epoch, until the greatest weight is on the word that is being translated,
# - your own sentences translated, with a map of the attention weights,
# - BLEU, the usual measure of translations, on held-out sentences.
#
# There are five steps: download, preprocess, define the model, train it, use it. Each is first defined and explained;
# then *Train* puts them to work.
#
# All code that matters is in this notebook: change any of it, run the cell again, and train again. As it stands, it
# learns a few thousand sentences that a small grammar writes, in about half a minute; one word, in *Settings*, makes
# that 118,964 sentences written by people.
#
# The paper: Bahdanau, Cho and Bengio 2015, *Neural machine translation by jointly learning to align and translate*
# (arXiv:1409.0473).

# %% [markdown]
# ## Settings

# %% tags=["include"]
"""The notebook's own words and cells, and the order of the rest; `make notebooks` composes them."""

import math
from dataclasses import replace

import tensorflow as tf
from IPython.display import Image as Picture
from IPython.display import display

from common.app.report import flatten, format_value
from common.nn.losses import masked_mean, smoothed_cross_entropy
from examples.nmt_attention.config import PRESETS

# %% [markdown]
# `tiny` is a grammar that comes with the code. `quick` are the sentences of Tatoeba: ten minutes on two processor
# cores. Any setting can be changed here; unfold the cell above for all of them and their reasons.

# %%
PRESET = "tiny"  # @param ["tiny", "quick", "full"]
config = replace(PRESETS[PRESET], fresh=True)  # fresh: train anew whenever the cell that trains is run

# %% [markdown]
# ## Sentences, tokens and pairs
#
# A network computes with numbers. So a sentence is cut into tokens, each token gets a number, and pairs of sentences
# become pairs of rows of numbers.

# %% tags=["include"]
from examples.nmt_attention.data import EncodedPairs, load_corpus
from examples.nmt_attention.tokenizer import PAD, tokenise

# %% [markdown]
# ### Look at a batch
#
# Below are the first pairs of a batch. The second sentence of each ends with the token `<end>`: the model has to learn
# when to stop, too. Shorter sentences are filled up with `<pad>`, which nothing may look at.

# %%
corpus = load_corpus(config.data, **config.corpus(), data_dir=config.data_dir)
print(f"{len(corpus.train):,} pairs to learn from, {len(corpus.validation):,} and {len(corpus.test):,} held out")
for sentence in corpus.train[0]:
    print(f"{sentence} -> {tokenise(sentence)}")
encoded = EncodedPairs(corpus.train, corpus.source_tokenizer, corpus.target_tokenizer)
for source, target in encoded.batches(config.batch_size, config.seed, epoch=0).take(1):
    print(f"\na batch: source {source.shape}, target {target.shape}")
for rows, tokenizer in ((source, corpus.source_tokenizer), (target, corpus.target_tokenizer)):
    for row in rows[:3].numpy():
        print(" ".join(tokenizer.vocabulary.symbols[id_] for id_ in row))

# %% [markdown]
# ## The model
#
# A translator has three parts. The **encoder** turns each source word, in its sentence, into a vector. The **decoder**
# predicts one target word after the other. **Attention** computes, for each of them, a weighted sum of the source
# vectors. It is the new idea, and a small one, so it comes first.

# %% tags=["include"]
from examples.nmt_attention.attention import BahdanauAttention

# %% [markdown]
# ### Try it alone
#
# Two sentences, the first of five words, the second of three and two positions of padding. One query for each. The
# layer is untrained, so its weights are arbitrary; but they sum to one, and they are zero for padding.

# %%
values = tf.random.stateless_normal([2, 5, 8], seed=[1, 2])  # B S D
mask = tf.constant([[True, True, True, True, True], [True, True, True, False, False]])  # B S
attention = BahdanauAttention(units=16)
query = tf.random.stateless_normal([2, 4], seed=[3, 4])  # B Q
context, weights = attention(query, attention.project_keys(values), values, mask)
print("context", context.shape, "= sentences, width of a value; weights", weights.shape, "= sentences, words")
print(weights.numpy().round(3))

# %% tags=["include"]
from examples.nmt_attention.model import Decoder, Encoder, Translator, shift_right

# %% tags=["include"]
from examples.nmt_attention.train import build_model, train

# %% [markdown]
# ### Check the untrained model
#
# In training, the inputs of the decoder are the targets, shifted right by one word: at each position it predicts the
# next word from the correct preceding ones. It returns *logits*; softmax turns them into the probabilities of all
# words. Before any training the loss should be close to that of a uniform guess, $\ln V$.

# %%
model = build_model(config, len(corpus.source_tokenizer), len(corpus.target_tokenizer))
logits, weights = model(source, shift_right(target))
print(f"source {source.shape} -> values {model.encoder(source, source != PAD).shape}")
print(f"logits {logits.shape} = pairs, target tokens, vocabulary; attention {weights.shape} = pairs, target, source")
_, nll = smoothed_cross_entropy(logits, target, label_smoothing=0.0)
loss = masked_mean(nll, target != PAD)
print(f"loss {loss:.3f}, guessing {math.log(len(corpus.target_tokenizer)):.3f}")

# %% tags=["include"]
from examples.nmt_attention.demo import SentenceTranslator

# %% tags=["include"]
from examples.nmt_attention.attention_plots import draw

# %% [markdown]
# ## Train
#
# Everything is defined; this puts it to work. A line comes after every epoch: the loss on the pairs it learns from, and
# `val_loss` and `val_accuracy` on pairs that it does not learn from.

# %%
run = train(config)

# %% [markdown]
# The attention weights of one and the same translation, before training and after each epoch. Each row is a word of the
# translation, each column a word of the source; dark is a great weight.

# %%
display(Picture(filename=run.figures / "training.gif"))

# %%
display(Picture(filename=run.figures / "learning_curve.png"))

# %% [markdown]
# ## Translate a sentence of your own
#
# The grammar has few words: *gato, ratón, niña, mujer, casa, árbol, flor, manzana, rojo, pequeño, viejo, ve, quiere,
# pinta, encuentra*. With real sentences, an unknown word is copied from the source.

# %%
sentence = "La niña pequeña pinta el árbol viejo."  # @param {type: "string"}
translator = SentenceTranslator.load(run)
[[translation]] = translator.translate([sentence])
print(translation.text)
display(draw(translation))

# %% [markdown]
# Follow the adjectives: Spanish has them after the noun, English before it, so the path of attention crosses itself.
#
# Always taking the likeliest word is greedy. A **beam** keeps several beginnings side by side, and may find a sentence
# that is likelier as a whole. These are the best five, with their scores, $\ln p$ per token:

# %%
[candidates] = translator.translate([sentence], beam=5)
for candidate in candidates:
    print(f"{candidate.score:7.3f}  {candidate.text}")

# %% tags=["include"]
from examples.nmt_attention.evaluate import evaluate

# %%
for name, value in flatten(evaluate(run, data_dir=config.data_dir)).items():
    print(f"{name:<26} {format_value(value)}")

# %% [markdown]
# ## Now try
#
# Each is a change of one line; then run from the cell on that you changed.
#
# - **Real sentences**: `PRESET = "quick"`, then translate "¿Todavía están en casa?" or "Hace mucho frío aquí."
# - **The other way round**: `config = replace(PRESETS[PRESET], reverse=True, fresh=True)`, and an English sentence.
# - **Another language**: `config = replace(PRESETS["quick"], data="/content/deu.txt", fresh=True)` with a file of
#   manythings.org/anki, or your own with a tab between the sentences (`columns="1,2"` if the source stands first).
# - **Does it need the mask?** In `BahdanauAttention.call`, use `energies` without `tf.where`. What becomes of the maps?
# - **No attention at all**: there, return the mean of the values, with weights that are equal. How much worse is
#   `val_loss`, and are long sentences hit harder than short ones?
# - **One direction**: in `Encoder.call`, leave out the backward GRU: `tf.zeros_like(backward)` in its place.
# - **A wider beam**: `beam=20`. Do the translations get better, or only likelier?

# %%
tries = ["El gato viejo quiere la manzana roja.", "¿Dónde están las casas pequeñas?", "Las niñas no ven la flor."]
for sentence, [translation] in zip(tries, translator.translate(tries), strict=True):
    print(f"{sentence}\n  {translation.text}")
