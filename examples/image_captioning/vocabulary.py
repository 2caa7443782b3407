"""Step 2: the special tokens, the words of a caption, and captions as ids and back.

A caption becomes lower-case words, without punctuation at both ends of each word. In languages without spaces between
words, such as Chinese, Japanese and Thai, each letter is a word. Words that occur fewer than `min_count` times in the
training captions, by default 5, become `<unk>`: a few examples are not enough to learn a word. A caption begins with
`<start>`, the input from which the first word is predicted. It ends with `<end>`, so that the model learns when to
stop.
"""

import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np

from common.data.scripts import space_letters
from common.data.text_files import normalise
from common.data.vocabulary import Vocabulary
from common.errors import UserError

SPECIAL_TOKENS = ("<pad>", "<start>", "<end>", "<unk>")
PAD, START, END, UNKNOWN = range(4)


def tokenise(caption: str) -> list[str]:
    """Return the lower-case words of a caption, without punctuation at their ends; pure punctuation is dropped."""
    words = map(strip_punctuation, space_letters(normalise(caption).lower()).split())
    return [word for word in words if word]


def strip_punctuation(word: str) -> str:
    """Return a word without punctuation and symbols at its ends; vowel signs, as Hindi has them, are neither."""
    return word.strip("".join(sign for sign in set(word) if unicodedata.category(sign)[0] in "CPSZ"))


def build_vocabulary(captions: Iterable[Sequence[str]], min_count: int) -> Vocabulary:
    """Return the special tokens and all words that occur at least `min_count` times in the tokenised `captions`.

    Raises:
        UserError: no word occurs as often.
    """
    counts = Counter(word for caption in captions for word in caption)
    words = sorted(word for word, count in counts.items() if count >= min_count)
    if not words:
        raise UserError(f"no word occurs {min_count} times in the captions; use more captions or a smaller --min-count")
    return Vocabulary([*SPECIAL_TOKENS, *words])


def encode_caption(vocabulary: Vocabulary, words: Sequence[str], max_length: int) -> np.ndarray:
    """Return int32 ids of <start>, the first `max_length` words and <end>; unknown words become <unk>."""
    tokens = [SPECIAL_TOKENS[START], *words[:max_length], SPECIAL_TOKENS[END]]
    return vocabulary.encode(tokens, unknown=UNKNOWN)


def decode_caption(vocabulary: Vocabulary, ids: Iterable[int]) -> list[str]:
    """Return the words before the first <end>."""
    ids = list(ids)
    return vocabulary.decode(ids[: ids.index(END)] if END in ids else ids)
