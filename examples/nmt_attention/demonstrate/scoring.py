# %% [markdown]
# ### Scores of given translations
#
# The model also says how likely a translation of anyone's is. The decoder receives its words one after the other, as in
# training, and the score is the mean of $\ln p$ over the words and the end.

# %%
"""Step 5, continued: how likely the model finds given translations, word for word."""

from collections.abc import Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from common.nn.losses import smoothed_cross_entropy
from examples.nmt_attention.demo import SentenceTranslator
from examples.nmt_attention.model import shift_right
from examples.nmt_attention.preprocess.tokenizer import END, PAD, clean


# %%
@dataclass(frozen=True)
class ScoredTranslation:
    """A given translation with the likelihood of each of its tokens."""

    score: float
    """mean ln p of the tokens and the end, as `Translation.score` with a length penalty of 1"""
    tokens: list[str]
    """of the translation, as they are shown"""
    nll: np.ndarray
    """float32 [tokens + 1], -ln p in nats of each token and of the end"""
    source_tokens: list[str]
    attention: np.ndarray
    """float32 [tokens, source tokens]; each row adds up to 1"""


def score_translations(
    translator: SentenceTranslator, pairs: Sequence[tuple[str, str]]
) -> list[ScoredTranslation | None]:
    """Return the score of each (source, translation), None if one of them has no words.

    Args:
        translator: of a trained model.
        pairs: raw text. Tokens beyond `translator.max_tokens` are cut off.
    """
    tokenizers = translator.source_tokenizer, translator.target_tokenizer
    tokenised = [
        [
            tokenizer.tokenise(clean(text))[: translator.max_tokens]
            for tokenizer, text in zip(tokenizers, pair, strict=True)
        ]
        for pair in pairs
    ]
    scored: list[ScoredTranslation | None] = [None] * len(pairs)
    indices = [i for i, pair in enumerate(tokenised) if all(pair)]
    if not indices:
        return scored
    source, target = (
        [tokenizer.encode(tokenised[i][side]) for i in indices] for side, tokenizer in enumerate(tokenizers)
    )
    source = keras.utils.pad_sequences(source, padding="post", value=PAD)  # B S
    target = keras.utils.pad_sequences([[*ids, END] for ids in target], padding="post", value=PAD)  # B T
    logits, attention = translator.model(source, shift_right(tf.constant(target)))  # B T V, B T S
    _, nll = smoothed_cross_entropy(logits, tf.constant(target), label_smoothing=0.0)  # B T
    for i, losses, weights in zip(indices, nll.numpy(), attention.numpy(), strict=True):
        source_tokens, tokens = (
            tokenizer.labels(each) for tokenizer, each in zip(tokenizers, tokenised[i], strict=True)
        )
        losses = losses[: len(tokens) + 1]
        scored[i] = ScoredTranslation(
            -float(losses.mean()), tokens, losses, source_tokens, weights[: len(tokens), : len(source_tokens)]
        )
    return scored
