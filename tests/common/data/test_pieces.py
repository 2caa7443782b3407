import random

import pytest
import tensorflow as tf

from common.data.pieces import PieceVocabulary, build_pieces, cut, cut_in_graph

TEXT = "the cat sees the dog\nthe dog sees the cats: 猫!\n" * 20


@pytest.mark.parametrize("kind", ["characters", "words", "subwords"])
def test_any_text_of_its_characters_is_cut_and_restored(tmp_path, kind):
    vocabulary = build_pieces(TEXT, len(TEXT) // 2, kind, 100)
    vocabulary.save(tmp_path / "v.json")
    again = PieceVocabulary.load(tmp_path / "v.json")
    for text in (TEXT, "", "acts tset  \n猫", "s"):
        assert "".join(again.decode(again.encode(text))) == text
        assert again.encode(text).tolist() == vocabulary.encode(text).tolist()


def test_words_and_subwords_take_fewer_tokens_and_rare_words_are_characters():
    counts = {kind: len(build_pieces(TEXT, len(TEXT), kind, 100).encode(TEXT)) for kind in ("words", "subwords")}
    assert all(count < len(TEXT) / 3 for count in counts.values())
    words = build_pieces(TEXT, len(TEXT), "words", 100)
    assert words.decode(words.encode("the cat\nact")) == ["the", " cat", "\n", "a", "c", "t"]
    assert len(build_pieces(TEXT, len(TEXT), "words", 2)) == len(set(TEXT)) + 2


def test_vowel_signs_and_joiners_are_inside_of_words():
    text = "कुत्ता می\u200cخواهم " * 3
    vocabulary = build_pieces(text, len(text), "words", 100)
    assert {" कुत्ता", " می\u200cخواهم"} <= {*vocabulary.symbols}
    assert "".join(vocabulary.decode(vocabulary.encode(text))) == text


def test_pieces_are_those_of_the_training_part_and_characters_those_of_all():
    vocabulary = build_pieces("aa aa aa zz zz zz", 8, "words", 100)
    assert " aa" in vocabulary.symbols and " zz" not in vocabulary.symbols and "z" in vocabulary.symbols


def test_the_graph_cuts_as_the_code_does():
    pieces, draw = ["a", "ab", "abab", "bab", "é", "éa"], random.Random(1)
    texts = ["", "xyz", *("".join(draw.choice("abéx") for _ in range(draw.randrange(12))) for _ in range(100))]
    table = tf.constant(pieces)
    found = cut_in_graph(tf.constant(texts), lambda x: tf.reduce_any(x[..., None] == table, axis=-1), 4)
    assert [[piece.decode() for piece in row] for row in found.to_list()] == [cut(text, pieces, 4) for text in texts]
    assert cut_in_graph(tf.constant(["", ""]), lambda x: x == "a", 4).to_list() == [[], []]
