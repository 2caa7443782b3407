# %% [markdown]
# # Translation: the demonstration
#
# A trained model says how likely each next word of a translation is. Translating means to search for a sequence of
# words that is likely as a whole: greedily, the best word each time, or with a beam, several candidates side by side.

# %%
"""Step 5: translate sentences with the trained model."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from common.data.vocabulary import Vocabulary
from common.io.terminal import warn
from common.training import trainer
from common.training.checkpoints import restore_weights
from common.training.run_directory import Run

# %% tags=["module"]
from examples.nmt_attention.config import Config
from examples.nmt_attention.model import Translator
from examples.nmt_attention.pairs import LONGEST_TOKEN
from examples.nmt_attention.text import END, PAD, SPECIALS, Words, bare, capitalise_like, clean, detokenise, tokenise

# %% [markdown]
# ## Step 5: translate
#
# Sentences are sorted by length, batched, and searched in compiled code; each gets the translation that it would get
# alone. One alone is searched in a loop compiled by XLA: to multiply a matrix by a vector is what XLA does best. Then
# words become text again:
#
# - A word that the model does not know comes out as `<unknown>`, with attention on the source word that it stands for.
#   That source word is **carried over**. So names survive that were never seen in training.
# - The first letter is a capital, unless the source began in lower case.


# %%
@dataclass(frozen=True)
class Translation:
    """A sentence in the other language, and where the model looked for each of its words."""

    text: str
    score: float
    """ln p / tokens ** length_penalty; 0 is certain"""
    tokens: list[str]
    """of the translation, as a reader would write them"""
    source_tokens: list[str]
    """likewise of the source"""
    attention: np.ndarray
    """float32 [tokens, source tokens]; each row adds up to 1"""


LENGTHS_ALIKE = 16
"""One sentence alone is filled up to a multiple of so many tokens, as XLA compiles anew for each length."""


class SentenceTranslator:
    """Translates sentences with a trained model."""

    def __init__(self, model: Translator, source_words: Words, target_words: Words, max_tokens: int):
        """Compile nothing yet: that happens at the first use."""
        self.model, self.source_words, self.target_words = model, source_words, target_words
        self.max_tokens = max_tokens
        self._searches: dict[tuple[int, int | None], tf.types.experimental.PolymorphicFunction] = {}

    @classmethod
    def load(cls, run: Run) -> "SentenceTranslator":
        """Restore the best weights of a run; the run directory alone is enough.

        It translates in float32 in whatever precision it was trained: rounding to bfloat16 makes ties, and which of two
        equals wins would depend on the other sentences of the batch.

        Raises:
            UserError: the run has no checkpoint yet, or it is damaged.
        """
        config = Config.from_settings(run.read_config().settings)
        trainer.prepare(config.seed, "float32")
        source_words, target_words = (
            Words(Vocabulary.load(run.path / f"vocabulary_{side}.json")) for side in ("source", "target")
        )
        model = Translator(len(source_words), len(target_words), **config.architecture()).build_weights()
        restore_weights(run.checkpoints, model)
        return cls(model, source_words, target_words, config.max_tokens)

    def translate(
        self, sentences: Sequence[str], beam: int = 1, length_penalty: float = 1.0, batch_size: int = 128
    ) -> list[list[Translation]]:
        """Return for each sentence its `beam` best translations, the best first; none for one without any words.

        Args:
            sentences: raw text. What goes beyond `max_tokens` tokens is cut off, with a note on stderr.
            beam: hypotheses side by side; 1 is greedy.
            length_penalty: see `common.nn.sampling.beam_search`.
            batch_size: sentences translated together.
        """
        tokenised = [self._tokens(sentence) for sentence in sentences]
        found: list[list[Translation]] = [[] for _ in sentences]
        by_length = sorted(
            (number for number, tokens in enumerate(tokenised) if tokens), key=lambda n: len(tokenised[n])
        )
        for start in range(0, len(by_length), batch_size):
            numbers = by_length[start : start + batch_size]
            batch = [tokenised[number] for number in numbers]
            for number, translations in zip(numbers, self._translate_batch(batch, beam, length_penalty), strict=True):
                found[number] = translations
        return found

    def _tokens(self, sentence: str) -> list[str]:
        start = sentence[: LONGEST_TOKEN * (self.max_tokens + 1)]  # a line of a megabyte would take half a minute
        tokens = tokenise(clean(start))
        if len(tokens) > self.max_tokens:
            count = f"{len(tokens):,}{' or more' if len(start) < len(sentence) else ''}"
            warn(f"note: cut after {self.max_tokens} of {count} tokens: {sentence[:40]}...")
        return tokens[: self.max_tokens]

    def _translate_batch(
        self, batch: Sequence[list[str]], beam: int, length_penalty: float
    ) -> Iterator[list[Translation]]:
        ids = [self.source_words.encode(self.source_words.true_case(tokens)) for tokens in batch]
        rows, width = (1, LENGTHS_ALIKE) if len(batch) == 1 else (None, 1)
        longest = math.ceil(max(map(len, ids)) / width) * width
        source = keras.utils.pad_sequences(ids, longest, padding="post", value=PAD)  # B S
        found = self._search(beam, rows)(source, tf.constant(length_penalty, tf.float32))
        for tokens, ids, lengths, scores, attention in zip(batch, *(x.numpy() for x in found), strict=True):
            yield [
                self._read(tokens, ids[k, : lengths[k]], float(scores[k]), attention[k, : lengths[k], : len(tokens)])
                for k in range(beam)
            ]

    def _search(self, beam: int, rows: int | None) -> tf.types.experimental.PolymorphicFunction:
        """Return the search of this width: for one row compiled by XLA, for None once for all shapes of batches."""
        if (beam, rows) not in self._searches:
            self._searches[beam, rows] = tf.function(
                lambda source, length_penalty: self.model.translate(source, beam, length_penalty),
                input_signature=[tf.TensorSpec([rows, None], tf.int32), tf.TensorSpec([], tf.float32)],
                jit_compile=rows == 1,
            )
        return self._searches[beam, rows]

    def _read(self, source_tokens: list[str], ids: np.ndarray, score: float, attention: np.ndarray) -> Translation:
        """Turn ids into text, with what is unknown carried over from where the model looked."""
        if ids[-1] == END:
            ids, attention = ids[:-1], attention[:-1]
        tokens = [
            self.target_words.vocabulary.symbols[number] if number >= len(SPECIALS) else bare(source_tokens[place])
            for number, place in zip(ids, attention.argmax(axis=-1), strict=True)
        ]
        tokens = capitalise_like(tokens, source_tokens)
        return Translation(detokenise(tokens), score, [*map(bare, tokens)], [*map(bare, source_tokens)], attention)
