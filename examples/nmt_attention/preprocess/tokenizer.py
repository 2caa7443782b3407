"""Step 2, continued: sentences to tokens and back without loss, truecasing, and tokens to ids.

A sentence is split into words and punctuation marks. A mark that touches its neighbour without a space gets OpenNMT's
**joiner** `￭` on that side, so that the sentence can be restored exactly:

```
¿Está aquí?        ->  ¿￭  está  aquí  ￭?
I don't know.      ->  I  don  ￭'t  know  ￭.
```

Between two tokens that do not join there is a space. The rules are regular substitutions, so an exported model
applies the same ones inside its graph.
"""

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import numpy as np
import regex

from common.data.pieces import SPACE, WORD_CHARACTERS
from common.data.text_files import normalise
from common.data.vocabulary import Vocabulary

JOINER = "￭"
PAD, UNKNOWN, START, END = range(4)
SPECIAL_TOKENS = ["<pad>", "<unk>", "<start>", "<end>"]  # no token looks like these: < and > are tokens of their own
_WORD, _MARK = f"([{WORD_CHARACTERS}])", f"([^{WORD_CHARACTERS} ￭\ue000\ue001])"
# Applied in this order, by Python's `regex` and by TensorFlow, which both know these classes.
TOKENIZER_RULES = [
    (f"{_WORD}'{_WORD}", "\\1 ￭\ue000\\2"),  # 't is a token of its own; its apostrophe is no mark
    (f"{_WORD}’{_WORD}", "\\1 ￭\ue001\\2"),
    (_MARK + _WORD, r"\1￭ \2"),  # a mark joins the word after it
    (f"([^ ￭]){_MARK}", r"\1 ￭\2"),  # and the word or mark before it
    (f"([^ ￭]){_MARK}", r"\1 ￭\2"),  # once more, for every other mark of several in a row
    ("\ue000", "'"),
    ("\ue001", "’"),
]
_COMPILED_RULES = [(regex.compile(pattern), replacement) for pattern, replacement in TOKENIZER_RULES]
JOINER_PATTERN = " ?￭ ?"  # what separates tokens that join
_RESERVED_CHARACTERS = str.maketrans("￭▁\ue000\ue001", "■■■■")


def clean(text: str) -> str:
    """Return a sentence in Unicode NFC with single spaces; signs that are used here, such as the joiner, become ■."""
    return " ".join(normalise(text).translate(_RESERVED_CHARACTERS).split())


def tokenise(sentence: str) -> list[str]:
    """Cut a clean sentence into words, endings such as 't and 's, and punctuation marks.

    >>> tokenise("¿Está aquí? I don't know.")
    ['¿￭', 'Está', 'aquí', '￭?', 'I', 'don', "￭'t", 'know', '￭.']
    """
    for pattern, replacement in _COMPILED_RULES:
        sentence = pattern.sub(replacement, sentence)
    return sentence.split()


def detokenise(tokens: Iterable[str]) -> str:
    """Return the sentence of the tokens that `tokenise` returns."""
    return re.sub(JOINER_PATTERN, "", " ".join(filter(None, tokens)))


def strip_joiners(token: str) -> str:
    """Return a token without its joiners."""
    return token.strip(JOINER)


# A sentence starts with a capital. To give `Quiero` and `quiero` one embedding, the first word is put into its more
# frequent form: `quiero`, but still `Tom` and `I`. In the translation the first letter is a capital again, unless the
# source starts in lower case, or most sentences of the training data do. The vocabulary lists its tokens by falling
# frequency, so it decides which form is more frequent.
#
# A tokenizer of yours needs the methods of this class, a branch in `build_tokenizer` and `load_tokenizer` of data.py,
# and its name in `_KINDS` of config.py.
class WordTokenizer:
    """The vocabulary of one language, with truecasing by the frequency of its tokens."""

    kind = "words"
    tokens_per_word = 1
    tokenise = staticmethod(tokenise)
    detokenise = staticmethod(detokenise)

    def __init__(self, vocabulary: Vocabulary, lower_case: bool = False):
        """Take a vocabulary of the special symbols and then tokens by falling frequency.

        `lower_case` says that sentences begin in lower case.
        """
        self.vocabulary, self.lower_case = vocabulary, lower_case

    @classmethod
    def build(cls, sentences: Sequence[str], min_count: int) -> "WordTokenizer":
        """Return a tokenizer of the tokens that occur at least `min_count` times in `sentences`; others are <unk>."""
        tokenised = [tokenise(sentence) for sentence in sentences]
        firsts = [first_word(tokens) for tokens in tokenised]
        elsewhere = Counter(
            token
            for tokens, first in zip(tokenised, firsts, strict=True)
            for i, token in enumerate(tokens)
            if i != first
        )
        counts = Counter(elsewhere)
        for tokens, first in zip(tokenised, firsts, strict=True):
            if first is not None:
                lower = lower_first(tokens[first])
                counts[lower if elsewhere[lower] >= elsewhere[tokens[first]] else tokens[first]] += 1
        ranked = sorted(counts, key=lambda token: (-counts[token], token))
        begins_lower = [_begins_lower(tokens[i]) for tokens, i in zip(tokenised, firsts, strict=True) if i is not None]
        kept = (token for token in ranked if counts[token] >= min_count)
        return cls(Vocabulary([*SPECIAL_TOKENS, *kept]), lower_case=2 * sum(begins_lower) > len(begins_lower))

    def __len__(self) -> int:
        return len(self.vocabulary)

    def truecase(self, tokens: Sequence[str]) -> list[str]:
        """Return the tokens of a sentence with its first word in the more frequent of its two forms."""
        tokens, first = list(tokens), first_word(tokens)
        if first is not None:
            as_written, lower = self._ids([tokens[first], lower_first(tokens[first])])
            if lower < as_written:
                tokens[first] = lower_first(tokens[first])
        return tokens

    def encode(self, tokens: Sequence[str]) -> np.ndarray:
        """Return the ids of the tokens of a sentence, truecased; int32, UNKNOWN for those not in the vocabulary."""
        ids = self._ids(self.truecase(tokens))
        return np.where(ids < len(self), ids, UNKNOWN).astype(np.int32)

    def restore_case(self, tokens: Sequence[str], source_tokens: Sequence[str]) -> list[str]:
        """Return tokens with a capital as the first letter, unless the source or most sentences start in lower case."""
        if self.lower_case:
            return list(tokens)
        return capitalise_like(tokens, [token.lstrip(SPACE) for token in source_tokens])

    def labels(self, tokens: Sequence[str]) -> list[str]:
        """Return tokens as they are shown, without joiners."""
        return [strip_joiners(token) for token in tokens]

    def _ids(self, tokens: Sequence[str]) -> np.ndarray:
        """Return the ids of tokens, which follow their frequency; V for those that are not in the vocabulary."""
        return self.vocabulary.encode(tokens, unknown=len(self))


def first_word(tokens: Sequence[str]) -> int | None:
    """Return the index of the first token that is a word, None if all are punctuation."""
    return next((i for i, token in enumerate(tokens) if token[:1].isalnum() or token[:1] == "_"), None)


def lower_first(word: str) -> str:
    """Return `word` with its first letter in lower case."""
    return _with_first_letter(word, word[0].lower())


def capitalise_like(tokens: Sequence[str], source_tokens: Sequence[str]) -> list[str]:
    """Return `tokens` with a capital as the first letter, unless the source starts in lower case."""
    tokens, first, source_first = list(tokens), first_word(tokens), first_word(source_tokens)
    if first is not None and not (source_first is not None and _begins_lower(source_tokens[source_first])):
        tokens[first] = _with_first_letter(tokens[first], tokens[first][0].title())
    return tokens


def _begins_lower(word: str) -> bool:
    return word[0].islower() and word[0].title() != word[0]  # letters of Georgian have no other form at the start


def _with_first_letter(word: str, letter: str) -> str:
    """Return `word` with another first letter if that is one character; İ in lower case is two, with no way back."""
    return letter + word[1:] if len(letter) == 1 else word
