import random

import pytest

from common.data.pieces import MAX_PIECE_LENGTH
from common.data.vocabulary import Vocabulary
from examples.nmt_attention.data import build_tokenizer, load_tokenizer
from examples.nmt_attention.download.toy_grammar import tiny_pairs
from examples.nmt_attention.preprocess.piece_tokenizer import PieceTokenizer
from examples.nmt_attention.preprocess.tokenizer import SPECIAL_TOKENS, UNKNOWN, clean
from tests.nmt_attention.preprocess.test_tokenizer import SENTENCES

CHINESE = ["我喜欢猫。", "你看见苹果。", "他们 在 家。"] * 5
SPANISH = [pair.spanish for pair in tiny_pairs(500)]


@pytest.mark.parametrize("kind", ["characters", "subwords"])
@pytest.mark.parametrize("sentence", [*SENTENCES, *CHINESE[:3], "▁ a ▁"])
def test_nothing_is_lost_between_sentence_and_pieces(kind, sentence):
    tokenizer = build_tokenizer(SPANISH, kind, 1, 4000)
    cleaned = clean(sentence)
    assert tokenizer.detokenise(tokenizer.tokenise(cleaned)) == cleaned


def test_chinese_is_cut_into_characters():
    tokenizer = build_tokenizer(CHINESE, "characters", 2, 4000)
    assert tokenizer.tokenise("我 喜欢狗。") == ["我", "▁", "喜", "欢", "狗", "。"]
    assert [id_ == UNKNOWN for id_ in tokenizer.encode(["我", "▁", "狗"])] == [False, False, True]


def test_frequent_words_are_one_subword_and_new_ones_are_several():
    tokenizer = build_tokenizer(SPANISH, "subwords", 1, 4000)
    assert tokenizer.tokenise("La mujer ve la casa.") == ["▁La", "▁mujer", "▁ve", "▁la", "▁casa", "."]
    assert "".join(pieces := tokenizer.tokenise("camelia")) == "▁camelia" and 2 <= len(pieces) < 8
    assert UNKNOWN not in tokenizer.encode(pieces)


def test_subwords_are_limited_in_number_and_length_and_the_same_each_time():
    tokenizer = build_tokenizer(SPANISH, "subwords", 1, 60)
    assert len(tokenizer) <= 60 + len(SPECIAL_TOKENS) and tokenizer.max_length <= MAX_PIECE_LENGTH
    again = build_tokenizer(SPANISH, "subwords", 1, 60)
    assert again.vocabulary.symbols == tokenizer.vocabulary.symbols


def test_the_longest_piece_is_taken():
    tokenizer = PieceTokenizer(Vocabulary([*SPECIAL_TOKENS, "a", "b", "ab", "abab", "bab"]), "characters")
    draw = random.Random(1)
    for _ in range(200):
        text = "".join(draw.choice("ab") for _ in range(draw.randrange(1, 12)))
        start = 0
        for piece in tokenizer.tokenise(text):
            longer = [other for other in ("ab", "abab", "bab") if text.startswith(other, start)]
            assert piece == max(longer, key=len, default=text[start])
            start += len(piece)


def test_a_stored_tokenizer_is_the_same(tmp_path):
    tokenizer = build_tokenizer(SPANISH, "subwords", 1, 200)
    tokenizer.vocabulary.save(tmp_path / "v.json")
    again = load_tokenizer(tmp_path / "v.json", "subwords")
    assert [again.tokenise(text) for text in SPANISH[:50]] == [tokenizer.tokenise(text) for text in SPANISH[:50]]
