"""Which script a text is written in, and whether it puts spaces between words."""

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
