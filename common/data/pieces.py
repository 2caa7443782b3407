"""Pieces of text, from characters to words: learning them, and cutting a text into the longest that fit."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence

import numpy as np
import regex
import tensorflow as tf

from common.data.vocabulary import Vocabulary

SPACE = "▁"
WORD_CHARACTERS = "\\p{L}\\p{M}\\p{N}_\u200c\u200d"
"""Letters, vowel signs and accents, digits, and the joiners inside Persian and Hindi words: the inside of a class of
regular expressions of `regex` and of TensorFlow."""
MAX_PIECE_LENGTH = 12
"""Characters of a subword at most."""
MAX_WORD_LENGTH = 24
"""Longer words are cut, because a graph tries each length."""


def cut(text: str, pieces: Collection[str], max_length: int) -> list[str]:
    """Return `text` as a list of pieces, from left to right the longest that fits.

    Subwords of byte-pair encoding are cut in this way as well as by undoing the merges in order (Uzan et al. 2024,
    arXiv:2403.01289), and a graph can do the same. A character that is not among the `pieces`, of at most `max_length`
    characters, is a piece of its own.
    """
    found, start = [], 0
    while start < len(text):
        ends = range(min(start + max_length, len(text)), start + 1, -1)
        end = next((end for end in ends if text[start:end] in pieces), start + 1)
        found.append(text[start:end])
        start = end
    return found


def cut_in_graph(texts: tf.Tensor, is_piece: Callable[[tf.Tensor], tf.Tensor], max_length: int) -> tf.RaggedTensor:
    """Return the pieces of texts [B], string [B, pieces], as `cut` does, in TensorFlow operations alone.

    The length of the longest piece is computed for all positions at once. A scan over the positions then decides where
    pieces start. `is_piece` maps strings of any shape to whether each is a piece, bool.
    """
    characters = tf.strings.unicode_split(texts, "UTF-8").to_tensor("")
    characters = tf.pad(characters, [[0, 0], [0, 1]], constant_values="")  # B N; so N is at least 1
    count = tf.shape(characters)[1]
    following = tf.pad(characters, [[0, 0], [0, max_length]], constant_values="")  # B N+L
    pieces, longest, length = tf.fill(tf.shape(characters), ""), characters, tf.ones_like(characters, tf.int32)  # B N
    for number in range(max_length):
        added = following[:, number : number + count]
        pieces += added
        fits = is_piece(pieces) & (added != "")
        longest, length = tf.where(fits, pieces, longest), tf.where(fits, number + 1, length)
    columns = tf.transpose(length)  # N B
    left = tf.scan(lambda left, length: tf.where(left == 0, length, left) - 1, columns, tf.zeros_like(length[:, 0]))
    is_start = tf.concat([tf.zeros_like(left[:1]), left[:-1]], axis=0) == 0  # N B
    return tf.ragged.boolean_mask(longest, tf.transpose(is_start) & (characters != ""))


def learn_subwords(lines: Sequence[str], size: int) -> list[str]:
    """Return `size` pieces by byte-pair encoding (Sennrich et al. 2016, arXiv:1508.07909), with spaces as `SPACE`.

    No piece spans a space, or joins letters and punctuation.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers  # here because only training needs it

    learner = Tokenizer(models.BPE())
    spaces = pre_tokenizers.Metaspace(replacement=SPACE, prepend_scheme="first")
    learner.pre_tokenizer = pre_tokenizers.Sequence([spaces, pre_tokenizers.Punctuation()])
    trainer = trainers.BpeTrainer(
        vocab_size=size, min_frequency=2, max_token_length=MAX_PIECE_LENGTH, show_progress=False
    )
    learner.train_from_iterator(lines, trainer)
    return sorted(learner.get_vocab())


def frequent_words(lines: Sequence[str], size: int) -> list[str]:
    """Return the `size` most frequent words of those that occur twice, each with the space before it, if any."""
    words = regex.compile(f" ?[{WORD_CHARACTERS}]+")
    counts = Counter(word for line in lines for word in words.findall(line) if len(word) <= MAX_WORD_LENGTH)
    ranked = sorted(counts, key=lambda word: (-counts[word], word))
    return [word for word in ranked if counts[word] >= 2][:size]


class PieceVocabulary(Vocabulary):
    """A vocabulary of characters, or of characters and longer pieces; it has all characters of the text."""

    def __init__(self, symbols: Sequence[str]):
        """Number `symbols` from 0 in the order given; see `Vocabulary`."""
        super().__init__(symbols)
        self.max_length = max(map(len, self.symbols))

    def encode(self, symbols: str, unknown: int | None = None) -> np.ndarray:
        """Return the ids of the pieces of a text, int32 [pieces]; see `Vocabulary.encode`."""
        return super().encode(symbols if self.max_length == 1 else cut(symbols, self._ids, self.max_length), unknown)


def build_pieces(text: str, training_length: int, kind: str, size: int) -> PieceVocabulary:
    """Return the characters of `text`, and the pieces of its training part.

    The training part is the first `training_length` characters. `kind` is "characters", "words" or "subwords"; of the
    latter two there are at most `size`.
    """
    learn = {"characters": lambda lines, size: [], "words": frequent_words, "subwords": learn_subwords}[kind]
    pieces = {piece.replace(SPACE, " ") for piece in learn(text[:training_length].split("\n"), size)}
    return PieceVocabulary(sorted({*text} | pieces))
