"""Which script a text is written in, and whether it puts spaces between words."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

_LANGUAGES = {  # of the scripts that are written without spaces between words, by the first word of a letter's name
    "CJK": "Chinese",
    "HIRAGANA": "Japanese",
    "KATAKANA": "Japanese",
    "THAI": "Thai",
    "LAO": "Lao",
    "KHMER": "Khmer",
    "MYANMAR": "Burmese",
    "TIBETAN": "Tibetan",
}
UNSPACED = (
    "[\u0e00-\u0eff\u0f00-\u109f\u1780-\u17ff\u3040-\u30ff\u31f0-\u31ff\u3400-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003ffff]"
)
"""Characters of these scripts, as a regular expression of Python and of TensorFlow."""
JOINING_RULES = [(f"({UNSPACED}) ", r"\1"), (f" ({UNSPACED})", r"\1")]
"""Substitutions that delete the spaces of `space_letters`, as an exported model applies them as well."""
_MIN_SHARE = 0.3  # of the letters
_MAX_SPACES = 0.15  # spaces per letter; Chinese that is cut into words has about 0.6


def unspaced_language(texts: Iterable[str]) -> str | None:
    """Return the language of `texts` if it is written without spaces between words, else None.

    Chinese whose words are separated by spaces, as some corpora have it, is not.
    """
    letters, unspaced, spaces = 0, Counter(), 0
    for character, count in Counter("\n".join(texts)).items():
        if character.isalpha():
            letters += count
            language = _LANGUAGES.get(unicodedata.name(character, "").partition(" ")[0])
            unspaced[language] += count if language else 0
        elif character == " ":
            spaces += count
    total = unspaced.total()
    if not letters or total < _MIN_SHARE * letters or spaces > _MAX_SPACES * letters:
        return None
    if unspaced["Japanese"] > 0.1 * total:  # which uses Chinese characters as well
        return "Japanese"
    return unspaced.most_common(1)[0][0]


def space_letters(text: str) -> str:
    """Return `text` with spaces around each letter of a script without spaces between words.

    Vowel signs and tone marks stay with their letter.

    >>> space_letters("2只猫 sit").split()
    ['2', '只', '猫', 'sit']
    """
    text = re.sub(UNSPACED, lambda found: found[0] if _is_mark(found[0]) else f" {found[0]}", text)
    return re.sub(f"(?<={UNSPACED})(?!{UNSPACED})", " ", text)


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


def join_words(words: Iterable[str]) -> str:
    """Return words as a text: with spaces between them, but none beside the letters that `space_letters` separates."""
    text = " ".join(words)
    for pattern, replacement in JOINING_RULES:
        text = re.sub(pattern, replacement, text)
    return text
