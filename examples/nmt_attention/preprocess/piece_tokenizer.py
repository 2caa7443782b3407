"""Step 2, continued: sentences to characters or subwords and back without loss.

Chinese, Japanese and Thai have no spaces between words, and in a small corpus most words are rare. Then a sentence is
better cut into characters, or into subwords: frequent pieces of words, found by byte-pair encoding (Sennrich et al.
2016, arXiv:1508.07909). Both are lists of pieces, and a sentence is cut into the longest ones from left to right, which
is as good as undoing the merges in order (Uzan et al. 2024, arXiv:2403.01289). A space is part of the text, written as
`▁`.
"""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from common.data.pieces import SPACE, cut, learn_subwords
from common.data.vocabulary import Vocabulary
from examples.nmt_attention.preprocess.tokenizer import SPECIAL_TOKENS, UNKNOWN


class PieceTokenizer:
    """The pieces of one language; a sentence is cut into the longest that fit, from left to right."""

    lower_case = False  # pieces are as they are written

    def __init__(self, vocabulary: Vocabulary, kind: str):
        """Take a vocabulary of the special symbols and the pieces; `kind` is "characters" or "subwords"."""
        self.vocabulary, self.kind = vocabulary, kind
        self.prefix = SPACE if kind == "subwords" else ""  # the first word of a sentence has the pieces of any other
        self.tokens_per_word = 5 if kind == "characters" else 3
        self._pieces = frozenset(vocabulary.symbols[len(SPECIAL_TOKENS) :])
        self.max_length = max(map(len, self._pieces), default=1)

    @classmethod
    def build(cls, sentences: Sequence[str], min_count: int, kind: str, size: int) -> "PieceTokenizer":
        """Return a tokenizer of the pieces in clean `sentences`.

        Args:
            sentences: of the training.
            min_count: rarer characters are unknown.
            kind: "characters" or "subwords".
            size: the number of subwords at most; at most one for two sentences.
        """
        counts = Counter(character for sentence in sentences for character in sentence.replace(" ", SPACE))
        characters = {character for character, count in counts.items() if count >= min_count} | {SPACE}
        pieces = characters
        if kind == "subwords":
            learnt = learn_subwords(sentences, min(size, len(counts) + len(sentences) // 2))
            pieces = characters | {piece for piece in learnt if characters.issuperset(piece)}
        return cls(Vocabulary([*SPECIAL_TOKENS, *sorted(pieces)]), kind)

    def __len__(self) -> int:
        """Return the number of tokens, V, the special ones included."""
        return len(self.vocabulary)

    def tokenise(self, sentence: str) -> list[str]:
        """Cut a clean sentence into pieces; an unknown character is a piece of its own."""
        text = (self.prefix if sentence else "") + sentence.replace(" ", SPACE)
        return cut(text, self._pieces, self.max_length)

    def encode(self, tokens: Sequence[str]) -> np.ndarray:
        """Return the ids of tokens, int32; UNKNOWN for those that are not in the vocabulary."""
        return self.vocabulary.encode(tokens, unknown=UNKNOWN)

    def restore_case(self, tokens: Sequence[str], source_tokens: Sequence[str]) -> list[str]:
        """Return `tokens`: pieces keep their case."""
        return list(tokens)

    def detokenise(self, tokens: Sequence[str]) -> str:
        """Return the sentence of tokens."""
        return "".join(tokens).replace(SPACE, " ").strip()

    def labels(self, tokens: Sequence[str]) -> list[str]:
        """Return tokens as they are shown, a space as `▁`."""
        return list(tokens)
