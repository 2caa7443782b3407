import pytest

from common.errors import UserError
from examples.image_captioning.vocabulary import (
    SPECIAL_TOKENS,
    UNKNOWN,
    build_vocabulary,
    decode_caption,
    encode_caption,
    tokenise,
)


@pytest.mark.parametrize(
    ("caption", "words"),
    [
        ("A dog , running .", ["a", "dog", "running"]),
        ('"Don\'t" -- said a well-known man!', ["don't", "said", "a", "well-known", "man"]),
        ("  ...  ", []),
        ("Caf\u0065\u0301\u00a0bar", ["café", "bar"]),
        ("__init__ 2", ["init", "2"]),
        ("“कुत्ता दौड़ रहा है।”", ["कुत्ता", "दौड़", "रहा", "है"]),
        ("两只狗在跑。", ["两", "只", "狗", "在", "跑"]),
    ],
)
def test_words_are_lower_case_without_punctuation_at_their_ends(caption, words):
    assert tokenise(caption) == words


def test_rare_words_are_unknown_and_captions_come_back():
    vocabulary = build_vocabulary([["a", "dog"], ["a", "cat"], ["a", "dog"]], 2)
    assert vocabulary.symbols == [*SPECIAL_TOKENS, "a", "dog"]
    ids = encode_caption(vocabulary, ["a", "cat", "dog", "dog"], max_length=3)
    assert list(ids) == [1, 4, UNKNOWN, 5, 2]
    assert decode_caption(vocabulary, ids[1:]) == ["a", "<unk>", "dog"] == decode_caption(vocabulary, [4, 3, 5])


def test_no_word_often_enough_is_an_error():
    with pytest.raises(UserError, match="--min-count"):
        build_vocabulary([["a"]], 2)
