import doctest

import pytest

from common.data.vocabulary import Vocabulary
from examples.nmt_attention.preprocess import tokenizer
from examples.nmt_attention.preprocess.tokenizer import (
    SPECIAL_TOKENS,
    UNKNOWN,
    WordTokenizer,
    capitalise_like,
    clean,
    detokenise,
    first_word,
    strip_joiners,
    tokenise,
)

SENTENCES = [
    "¿Todavía están en casa?",
    "¡¡Sí, claro!!",
    "I don't know... It's Tom's, isn't it?!",
    "rock'n'roll’s well-known x_y — 1,000.50 €",
    '"\'Tis <unk>," he said; (a) [b] {c} #1 & 50% a/b',
    "🙂🙂 日本語。 Ça va ? l’été",
    "'",
    "a",
    "e\u0301 = é",
    "मैं कुत्ता देखता हूँ।",
    "من می\u200cخواهم گربه\u200cها.",
    "👩\u200d👧 ❤\ufe0f!",
    "one\x0btwo",
    "joiner ￭ and private \ue000\ue001 signs",
]


@pytest.mark.parametrize("sentence", SENTENCES)
def test_nothing_is_lost_between_sentence_and_tokens(sentence):
    cleaned = clean(sentence)
    assert detokenise(tokenise(cleaned)) == cleaned
    assert all(strip_joiners(token) and " " not in token for token in tokenise(cleaned))


def test_words_marks_and_endings_are_tokens_of_their_own():
    assert doctest.testmod(tokenizer).failed == 0
    assert [*map(strip_joiners, tokenise('"¿Qué?!"'))] == ['"', "¿", "Qué", "?", "!", '"']


def test_vowel_signs_accents_and_joiners_are_part_of_the_word():
    assert tokenise("मैं कुत्ता हूँ।") == ["मैं", "कुत्ता", "हूँ", "￭।"]
    assert tokenise("می\u200cخواهم گربه\u200cها.") == ["می\u200cخواهم", "گربه\u200cها", "￭."]
    assert tokenise("مُحَمَّد") == ["مُحَمَّد"]


def test_cleaning_makes_equal_texts_equal():
    assert clean("\ufeff  e\u0301l\u00a0 va\r\n") == "él va" and clean(" \t\r\n") == ""


@pytest.fixture
def words():
    return WordTokenizer.build(["Quiero pan.", "Yo quiero a Tom.", "Tom ve a Tom.", "Nadie quiere."], min_count=1)


def test_the_first_word_is_read_in_its_commoner_form(words):
    assert words.truecase(tokenise("¿Quiero pan?"))[:2] == ["¿￭", "quiero"]
    assert words.truecase(["Tom", "Quiero"]) == ["Tom", "Quiero"]  # a name stays, and so does what is not first
    assert "Quiero" not in words.vocabulary.symbols and "Tom" in words.vocabulary.symbols


def test_a_form_that_only_ever_stands_first_is_taken_in_lower_case(words):
    assert "nadie" in words.vocabulary.symbols and "Nadie" not in words.vocabulary.symbols


def test_rare_words_are_unknown_and_padding_comes_first(words):
    assert words.vocabulary.symbols[:4] == SPECIAL_TOKENS
    assert list(words.encode(["quiero", "nunca"]) == UNKNOWN) == [False, True]
    few = WordTokenizer.build(["a b", "c b", "d b"], min_count=2)
    assert few.vocabulary.symbols == [*SPECIAL_TOKENS, "b"]


def test_a_saved_vocabulary_keeps_the_case_of_words(words, tmp_path):
    words.vocabulary.save(tmp_path / "v.json")
    again = WordTokenizer(Vocabulary.load(tmp_path / "v.json"))
    assert again.truecase(["Quiero"]) == words.truecase(["Quiero"]) == ["quiero"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Hola.", "Hello"),
        ("hola.", "hello"),
        ("¿hola?", "hello"),
        ("42 hola", "Hello"),
        ("...", "Hello"),
        ("", "Hello"),
    ],
)
def test_the_first_letter_follows_the_source(source, expected):
    assert capitalise_like(["¿￭", "hello"], tokenise(source)) == ["¿￭", expected]
    assert capitalise_like(["￭!"], tokenise(source)) == ["￭!"]


def test_where_sentences_begin_in_lower_case_so_do_translations(words):
    source = tokenise("القطة هنا")  # letters without case
    assert words.restore_case(["hello"], source) == ["Hello"]
    lower = WordTokenizer.build(["the cat sees.", "tom sleeps.", '"no"', "Oh"], min_count=1)
    assert lower.lower_case and lower.restore_case(["hello"], source) == ["hello"]


def test_a_capital_without_a_way_back_stays():
    turkish = WordTokenizer.build(["İyi bir gün.", "Çok iyi."], min_count=1)
    assert turkish.truecase(["İyi", "gün"]) == ["İyi", "gün"] and "İyi" in turkish.vocabulary.symbols


def test_words_of_georgian_start_without_a_capital():
    assert capitalise_like(["გამარჯობა"], ["Hello"]) == ["გამარჯობა"]
    assert capitalise_like(["hello"], ["გამარჯობა"]) == ["Hello"]


def test_the_first_word_is_the_first_that_is_no_mark():
    assert first_word(tokenise('"¿Qué')) == 2 and first_word(["￭'t", "￭."]) is None
