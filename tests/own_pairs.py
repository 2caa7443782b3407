"""Pairs of sentences as a user might bring them: a small grammar in English, German, Chinese and Arabic."""

import random
from typing import NamedTuple


class Noun(NamedTuple):
    """A noun; German with its gender, Arabic without its article."""

    english: str
    german: str
    gender: str
    chinese: str
    arabic: str
    is_feminine: bool = False
    """in Arabic"""


NOUNS = [
    Noun("dog", "Hund", "m", "狗", "كلب"),
    Noun("cat", "Katze", "f", "猫", "قطة", True),
    Noun("child", "Kind", "n", "孩子", "طفل"),
    Noun("teacher", "Lehrer", "m", "老师", "معلم"),
    Noun("house", "Haus", "n", "房子", "بيت"),
    Noun("car", "Auto", "n", "汽车", "سيارة", True),
    Noun("book", "Buch", "n", "书", "كتاب"),
    Noun("tree", "Baum", "m", "树", "شجرة", True),
    Noun("apple", "Apfel", "m", "苹果", "تفاحة", True),
    Noun("flower", "Blume", "f", "花", "زهرة", True),
]
ADJECTIVES = [  # English, German stem, Chinese, Arabic masculine
    ("small", "klein", "小", "صغير"),
    ("old", "alt", "老", "قديم"),
    ("beautiful", "schön", "漂亮的", "جميل"),
    ("new", "neu", "新的", "جديد"),
    ("good", "gut", "好的", "جيد"),
]
VERBS = [  # English, German, Chinese, Arabic masculine and feminine
    ("sees", "sieht", "看见", "يرى", "ترى"),
    ("likes", "mag", "喜欢", "يحب", "تحب"),
    ("looks for", "sucht", "寻找", "يبحث عن", "تبحث عن"),
    ("draws", "malt", "画", "يرسم", "ترسم"),
]
_ARTICLES = {"nominative": {"m": "der", "f": "die", "n": "das"}, "accusative": {"m": "den", "f": "die", "n": "das"}}


def own_pairs(language: str, count: int) -> list[tuple[str, str]]:
    """Return `count` different sentences in "german", "chinese" or "arabic", each with its English translation."""
    draw, pairs = random.Random(3), {}
    make = {"german": _german, "chinese": _chinese, "arabic": _arabic}[language]
    while len(pairs) < count:
        (subject, thing), verb = draw.sample(NOUNS, 2), draw.choice(VERBS)
        adjectives = [draw.choice([None, *ADJECTIVES]) for _ in range(2)]
        english = " ".join([_english(subject, adjectives[0]), verb[0], _english(thing, adjectives[1])])
        pairs[make(subject, thing, verb, adjectives)] = f"{english.capitalize()}."
    return list(pairs.items())


def _english(noun: Noun, adjective: tuple | None) -> str:
    return " ".join(["the", *(adjective[:1] if adjective else ()), noun.english])


def _german(subject, thing, verb, adjectives) -> str:
    words = []
    for noun, adjective, case in zip((subject, thing), adjectives, ("nominative", "accusative"), strict=True):
        ending = "en" if case == "accusative" and noun.gender == "m" else "e"
        words += [_ARTICLES[case][noun.gender], *([adjective[1] + ending] if adjective else []), noun.german]
        words += [verb[1]] if case == "nominative" else []
    words[0] = words[0].capitalize()
    return " ".join(words) + "."


def _chinese(subject, thing, verb, adjectives) -> str:
    first, second = (
        (adjective[2] if adjective else "") + noun.chinese
        for noun, adjective in zip((subject, thing), adjectives, strict=True)
    )
    return f"{first}{verb[2]}{second}。"


def _arabic(subject, thing, verb, adjectives) -> str:
    first, second = (
        f"ال{noun.arabic}" + (f" ال{adjective[3]}{'ة' if noun.is_feminine else ''}" if adjective else "")
        for noun, adjective in zip((subject, thing), adjectives, strict=True)
    )
    return f"{first} {verb[4] if subject.is_feminine else verb[3]} {second}."
