"""Step 5: translate sentences with the trained model.

A trained model returns the probability of each next word of a translation. Translation is a search for a likely
sequence of words: greedy search takes the likeliest word at each step, beam search keeps several hypotheses.
"""

import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import keras
import numpy as np
import tensorflow as tf

from common.data.pieces import SPACE
from common.io.terminal import warn
from common.nn.beam_search import Hypotheses, beam_search
from common.nn.losses import smoothed_cross_entropy
from common.training import trainer
from common.training.checkpoints import restore_weights
from common.training.run_directory import RunDirectory
from examples.nmt_attention.config import Config
from examples.nmt_attention.data import Tokenizer, load_tokenizer
from examples.nmt_attention.model import Translator, shift_right
from examples.nmt_attention.preprocess.parallel_corpus import MAX_CHARACTERS_PER_TOKEN
from examples.nmt_attention.preprocess.tokenizer import END, PAD, SPECIAL_TOKENS, START, UNKNOWN, clean


# Step 5: translate. Sentences are sorted by length, batched, and searched in compiled code. Each gets the translation
# that it would get alone. The search for a single sentence is compiled by XLA. Then the tokens become text:
#
# - A source word outside the vocabulary is read as `<unk>`. Where the model predicts `<unk>`, the source word
#   of the greatest attention weight takes its place, so names are copied.
# - The first letter is a capital, unless the source begins in lower case.
def translate_ids(
    model: Translator,
    source: tf.Tensor,
    beam: int = 1,
    length_penalty: tf.Tensor | float = 1.0,
    length_ratio: int = 1,
) -> Hypotheses:
    """Return the `beam` best translations of each row of source ids int32 [B, S]; call it inside a `tf.function`.

    A translation has at most 2 * `length_ratio` tokens for each of its source, and ten more. The axis that
    `beam_search` calls A is S here: a weight for each source token.
    """
    mask = source != PAD  # B S
    values = model.encoder(source, mask)  # B S 2U
    state = model.decoder.initial_state(values, mask)  # B D
    memory = model.decoder.prepare_attention(values, mask)
    max_lengths = 2 * length_ratio * tf.reduce_sum(tf.cast(mask, tf.int32), axis=1) + 10  # B
    output_shape = 2 * length_ratio * tf.shape(source)[1] + 10, tf.shape(source)[1]  # T, S
    decode_step = model.decoder.make_decode_step()
    return beam_search(decode_step, state, memory, START, END, max_lengths, output_shape, beam, length_penalty)


@dataclass(frozen=True)
class Translation:
    """The translation of a sentence, found or given, with its attention weights."""

    text: str
    score: float
    """ln p / length ** length_penalty, where the length includes the end; a score of 0 is certain"""
    tokens: list[str]
    """of the translation, without joiners"""
    source_tokens: list[str]
    """likewise of the source"""
    attention: np.ndarray
    """float32 [tokens, source tokens]; each row adds up to 1"""
    nll: np.ndarray | None = None
    """of a given translation: float32 [tokens + 1], -ln p in nats of each token and of the end"""


def cut(sentence: str, tokenise: Callable[[str], list[str]], max_tokens: int) -> list[str]:
    """Return the first `max_tokens` tokens of a sentence, with a note on stderr if there are more."""
    start = sentence[: MAX_CHARACTERS_PER_TOKEN * (max_tokens + 1)]  # a line of a megabyte takes half a minute
    tokens = tokenise(clean(start))
    if len(tokens) > max_tokens or len(start) < len(sentence):
        count = f"{len(tokens):,}{' or more' if len(start) < len(sentence) else ''}"
        warn(f"note: cut after {min(max_tokens, len(tokens))} of {count} tokens: {sentence[:40]}...")
    return tokens[:max_tokens]


LENGTH_MULTIPLE = 16
"""A single sentence is padded to a multiple of this, because XLA compiles anew for each length."""


class SentenceTranslator:
    """Translates sentences with a trained model."""

    def __init__(self, model: Translator, source_tokenizer: Tokenizer, target_tokenizer: Tokenizer, max_tokens: int):
        """Keep model and tokenizers; the search is compiled at the first use.

        `max_tokens` is in words, each of which counts as several characters or subwords; longer sentences are cut.
        """
        self.model, self.source_tokenizer, self.target_tokenizer = model, source_tokenizer, target_tokenizer
        self.max_words, self.max_tokens = max_tokens, max_tokens * source_tokenizer.tokens_per_word
        # More target tokens than source tokens are expected if words become characters or subwords.
        self.length_ratio = math.ceil(target_tokenizer.tokens_per_word / source_tokenizer.tokens_per_word)
        self._searches: dict[tuple[int, int | None], tf.types.experimental.PolymorphicFunction] = {}

    @classmethod
    def load(cls, run: RunDirectory, model_class: type[Translator] = Translator) -> "SentenceTranslator":
        """Restore the best weights of a run into a new `model_class`; the run directory alone is enough.

        It translates in float32, whatever the precision of training. Rounding to bfloat16 makes ties, and their order
        would depend on the other sentences of the batch.

        Raises:
            UserError: the run has no checkpoint yet, or it is damaged.
        """
        stored = run.read_config()
        config = Config.from_settings(stored.settings)
        trainer.set_seed_and_precision(config.seed, "float32")
        kinds = config.corpus()["tokens"] or ("words", "words")
        source_tokenizer, target_tokenizer = (
            load_tokenizer(run.path / f"vocabulary_{side}.json", kind, stored.data.get(f"{side}_case") == "lower")
            for side, kind in zip(("source", "target"), kinds, strict=True)
        )
        model = model_class(len(source_tokenizer), len(target_tokenizer), **config.architecture()).build_weights()
        restore_weights(run.checkpoints, model)
        return cls(model, source_tokenizer, target_tokenizer, config.max_tokens)

    def embeddings(self) -> dict[str, tuple[list[str], np.ndarray]]:
        """Return the tokens of "source" and "target", the most frequent first, and their vectors, float32 [V, E]."""
        sides = {
            "source": (self.source_tokenizer, self.model.encoder),
            "target": (self.target_tokenizer, self.model.decoder),
        }
        return {
            side: (
                tokenizer.labels(tokenizer.vocabulary.symbols)[len(SPECIAL_TOKENS) :],
                part.embedding.embeddings.numpy()[len(SPECIAL_TOKENS) :],
            )
            for side, (tokenizer, part) in sides.items()
        }

    def translate(
        self, sentences: Sequence[str], beam: int = 1, length_penalty: float = 1.0, batch_size: int = 128
    ) -> list[list[Translation]]:
        """Return for each sentence its `beam` best translations, the best first; none for an empty sentence.

        Sentences are raw text. Tokens beyond `max_tokens` are cut off, with a note on stderr. A `beam` of 1 is greedy
        search; for `length_penalty` see `common.nn.beam_search.beam_search`.
        """
        tokenised = [cut(sentence, self._tokens_of, self.max_tokens) for sentence in sentences]
        found: list[list[Translation]] = [[] for _ in sentences]
        by_length = sorted((i for i, tokens in enumerate(tokenised) if tokens), key=lambda i: len(tokenised[i]))
        for start in range(0, len(by_length), batch_size):
            indices = by_length[start : start + batch_size]
            batch = [tokenised[i] for i in indices]
            for i, translations in zip(indices, self._translate_batch(batch, beam, length_penalty), strict=True):
                found[i] = translations
        return found

    def score(self, pairs: Sequence[tuple[str, str]], length_penalty: float = 1.0) -> list[Translation | None]:
        """Return the given translation of each (source, translation), None if one of the two is empty.

        The decoder receives its tokens one after the other, as in training. The score is that of `translate`: ln p /
        length ** `length_penalty`, the mean over the tokens and the end if that is 1. Both sides are raw text; what is
        beyond the `max_tokens` of the translator is cut, with a note on stderr; the `text` is what was scored.
        """
        tokenizers = self.source_tokenizer, self.target_tokenizer
        max_target = self.max_words * self.target_tokenizer.tokens_per_word
        tokenised = [
            [cut(source, self._tokens_of, self.max_tokens), cut(target, self.target_tokenizer.tokenise, max_target)]
            for source, target in pairs
        ]
        scored: list[Translation | None] = [None] * len(pairs)
        indices = [i for i, pair in enumerate(tokenised) if all(pair)]
        if not indices:
            return scored
        source, target = (
            [tokenizer.encode(tokenised[i][side]) for i in indices] for side, tokenizer in enumerate(tokenizers)
        )
        source = keras.utils.pad_sequences(source, padding="post", value=PAD)  # B S
        target = keras.utils.pad_sequences([[*ids, END] for ids in target], padding="post", value=PAD)  # B T
        logits, attention = self.model(source, shift_right(tf.constant(target)))  # B T V, B T S
        _, nll = smoothed_cross_entropy(logits, tf.constant(target), label_smoothing=0.0)  # B T
        for i, losses, weights in zip(indices, nll.numpy(), attention.numpy(), strict=True):
            source_tokens, tokens = (
                tokenizer.labels(each) for tokenizer, each in zip(tokenizers, tokenised[i], strict=True)
            )
            losses, weights = losses[: len(tokens) + 1], weights[: len(tokens), : len(source_tokens)]
            text = self.target_tokenizer.detokenise(tokenised[i][1])
            score = -float(losses.sum()) / len(losses) ** length_penalty
            scored[i] = Translation(text, score, tokens, source_tokens, weights, losses)
        return scored

    def _tokens_of(self, text: str) -> list[str]:
        """Return the tokens of a clean sentence; one in capitals is read in lower case if more words are known then."""
        tokens = self.source_tokenizer.tokenise(text)
        first_letter = re.search(r"\w", text)  # none in signs such as Ⓐ, which Python calls capitals
        if first_letter and text.isupper() and self.source_tokenizer.kind == "words":
            rest = first_letter.end()
            lower = self.source_tokenizer.tokenise(text[:rest] + text[rest:].lower())
            if len(self._unknown(lower)) < len(self._unknown(tokens)):
                return lower
        return tokens

    def unknown_tokens(self, sentence: str) -> list[str]:
        """Return the tokens of a sentence that are not in the vocabulary, as they are shown."""
        start = sentence[: MAX_CHARACTERS_PER_TOKEN * (self.max_tokens + 1)]
        return self._unknown(self._tokens_of(clean(start))[: self.max_tokens])

    def _unknown(self, tokens: list[str]) -> list[str]:
        ids = self.source_tokenizer.encode(tokens)
        return self.source_tokenizer.labels([token for token, id_ in zip(tokens, ids, strict=True) if id_ == UNKNOWN])

    def _translate_batch(
        self, batch: Sequence[list[str]], beam: int, length_penalty: float
    ) -> Iterator[list[Translation]]:
        ids = [self.source_tokenizer.encode(tokens) for tokens in batch]
        rows, width = (1, LENGTH_MULTIPLE) if len(batch) == 1 else (None, 1)
        longest = math.ceil(max(map(len, ids)) / width) * width
        source = keras.utils.pad_sequences(ids, longest, padding="post", value=PAD)  # B S
        found = self._search(beam, rows)(source, tf.constant(length_penalty, tf.float32))
        for tokens, ids, lengths, scores, attention in zip(batch, *(x.numpy() for x in found), strict=True):
            yield [
                self._translation(
                    tokens, ids[k, : lengths[k]], float(scores[k]), attention[k, : lengths[k], : len(tokens)]
                )
                for k in range(beam)
            ]

    def _search(self, beam: int, rows: int | None) -> tf.types.experimental.PolymorphicFunction:
        """Return the search with this beam: compiled by XLA for one row, and once for all batch shapes for None."""
        if (beam, rows) not in self._searches:
            self._searches[beam, rows] = tf.function(
                lambda source, length_penalty: translate_ids(
                    self.model, source, beam, length_penalty, self.length_ratio
                ),
                input_signature=[tf.TensorSpec([rows, None], tf.int32), tf.TensorSpec([], tf.float32)],
                jit_compile=rows == 1,
            )
        return self._searches[beam, rows]

    def _translation(
        self, source_tokens: list[str], ids: np.ndarray, score: float, attention: np.ndarray
    ) -> Translation:
        """Return the text of `ids`; unknown words are replaced by the source token of the greatest weight."""
        if ids[-1] == END:
            ids, attention = ids[:-1], attention[:-1]
        target, source_labels = self.target_tokenizer, self.source_tokenizer.labels(source_tokens)
        copied = [label.strip(SPACE) for label in source_labels] if target.kind == "words" else source_labels
        tokens = [
            target.vocabulary.symbols[id_] if id_ >= len(SPECIAL_TOKENS) else copied[j]
            for id_, j in zip(ids, attention.argmax(axis=-1), strict=True)
        ]
        tokens = target.restore_case(tokens, source_tokens)
        return Translation(target.detokenise(tokens), score, target.labels(tokens), source_labels, attention)
