"""The embedded data: a grammar that writes Spanish sentences with their English translations and word alignment.

It has what makes translation more than looking up words: articles and adjectives that agree in gender and number,
adjectives after the noun, verbs that agree with their subject, questions and negations with and without "do". And for
each content word it gives the word of the other language that it stands for, so attention can be checked.
"""

import random
from typing import NamedTuple

Phrase = tuple[list[tuple[str, str]], list[tuple[str, str]]]
"""Spanish and English words in order, each with a mark; words of the same mark translate each other, "" has none."""


class TinyPair(NamedTuple):
    """A sentence, its translation, and the words that stand for each other."""

    spanish: str
    english: str
    links: list[tuple[int, int]]
    """(number of the Spanish word, number of the English word) of each content word, from 0, punctuation not counted"""


class _Noun(NamedTuple):
    spanish: tuple[str, str]  # one, several
    gender: str
    english: tuple[str, str]


_ANIMALS = [
    _Noun(("gato", "gatos"), "m", ("cat", "cats")),
    _Noun(("ratón", "ratones"), "m", ("mouse", "mice")),
    _Noun(("niña", "niñas"), "f", ("girl", "girls")),
    _Noun(("mujer", "mujeres"), "f", ("woman", "women")),
    _Noun(("pájaro", "pájaros"), "m", ("bird", "birds")),
    _Noun(("león", "leones"), "m", ("lion", "lions")),
    _Noun(("abuela", "abuelas"), "f", ("grandmother", "grandmothers")),
]
_THINGS = [
    _Noun(("casa", "casas"), "f", ("house", "houses")),
    _Noun(("árbol", "árboles"), "m", ("tree", "trees")),
    _Noun(("manzana", "manzanas"), "f", ("apple", "apples")),
    _Noun(("flor", "flores"), "f", ("flower", "flowers")),
    _Noun(("camión", "camiones"), "m", ("truck", "trucks")),
    _Noun(("canción", "canciones"), "f", ("song", "songs")),
]
_ARTICLES = {  # by definite, gender and number
    ("the", "m"): ("el", "los"),
    ("the", "f"): ("la", "las"),
    ("this", "m"): ("este", "estos"),
    ("this", "f"): ("esta", "estas"),
}
_ENGLISH_ARTICLES = {"the": ("the", "the"), "this": ("this", "these")}
_ADJECTIVES = [  # masculine and feminine, each for one and several; English
    (("rojo", "rojos"), ("roja", "rojas"), "red"),
    (("pequeño", "pequeños"), ("pequeña", "pequeñas"), "small"),
    (("viejo", "viejos"), ("vieja", "viejas"), "old"),
    (("grande", "grandes"), ("grande", "grandes"), "big"),
    (("feliz", "felices"), ("feliz", "felices"), "happy"),
]
_VERBS = [  # Spanish for one and several; English for one and several
    (("ve", "ven"), ("sees", "see")),
    (("quiere", "quieren"), ("wants", "want")),
    (("pinta", "pintan"), ("paints", "paint")),
    (("encuentra", "encuentran"), ("finds", "find")),
]


def _noun_phrase(draw: random.Random, nouns: list[_Noun], number: int, mark: str) -> Phrase:
    noun, article = draw.choice(nouns), draw.choice(list(_ENGLISH_ARTICLES))
    spanish = [(_ARTICLES[article, noun.gender][number], ""), (noun.spanish[number], mark)]
    english = [(_ENGLISH_ARTICLES[article][number], ""), (noun.english[number], mark)]
    if draw.random() < 0.6:
        *forms, adjective = draw.choice(_ADJECTIVES)
        spanish.append((forms[noun.gender == "f"][number], f"{mark}'s adjective"))  # after the noun
        english.insert(1, (adjective, f"{mark}'s adjective"))  # before it
    return spanish, english


def _sentence(draw: random.Random) -> tuple[Phrase, str, str]:
    """Return the words of a sentence, and the punctuation before it in Spanish and after it in both."""
    number = draw.randrange(2)
    kind = draw.choice(["where", "statement", "negation", "question"])
    if kind == "where":
        thing, thing_english = _noun_phrase(draw, _ANIMALS + _THINGS, number, "subject")
        spanish = [("dónde", "where"), (("está", "están")[number], ""), *thing]
        return (spanish, [("where", "where"), (("is", "are")[number], ""), *thing_english]), "¿", "?"

    subject, subject_english = _noun_phrase(draw, _ANIMALS, number, "subject")
    thing, thing_english = _noun_phrase(draw, _THINGS, draw.randrange(2), "object")
    verb_forms, english_forms = draw.choice(_VERBS)
    verb, does, plain = (verb_forms[number], "verb"), (("does", "do")[number], ""), (english_forms[1], "verb")
    if kind == "statement":
        return (
            ([*subject, verb, *thing], [*subject_english, (english_forms[number], "verb"), *thing_english]), "", "."
        )  # fmt: skip
    if kind == "negation":
        english = [*subject_english, does, ("not", "no"), plain, *thing_english]
        return ([*subject, ("no", "no"), verb, *thing], english), "", "."
    return ([verb, *subject, *thing], [does, *subject_english, plain, *thing_english]), "¿", "?"


def tiny_pairs(count: int = 3000) -> list[TinyPair]:
    """Return `count` different sentences of the grammar, always the same."""
    draw, pairs = random.Random(1), {}
    while len(pairs) < count:
        (spanish, english), opening, closing = _sentence(draw)
        place = {mark: number for number, (_, mark) in enumerate(english) if mark}
        links = [(number, place[mark]) for number, (_, mark) in enumerate(spanish) if mark]
        source, target = (" ".join(word for word, _ in words).capitalize() for words in (spanish, english))
        pairs[source] = TinyPair(f"{opening}{source}{closing}", f"{target}{closing}", links)
    return list(pairs.values())
