import numpy as np
import pytest

from common.data.text_files import normalise, read_text
from common.data.vocabulary import Vocabulary
from common.errors import UserError


def test_bom_and_line_ends_and_unicode_forms_do_not_matter():
    assert (
        normalise("\ufeffun café\r\nune\rdeux\n") == normalise("un cafe\u0301\nune\ndeux\n") == "un café\nune\ndeux\n"
    )


def test_a_folder_is_read_in_the_order_of_names(tmp_path):
    for name, text in (("b.txt", "second"), ("a.txt", "first"), ("c.md", "not this")):
        (tmp_path / name).write_text(text)
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "d.txt").write_text("third")
    assert read_text(tmp_path) == "first\nsecond\nthird"


def test_encoding_and_decoding_are_inverse():
    text = "né à l'Île, 42 €\n🙂"
    vocabulary = Vocabulary(sorted(set(text)))
    ids = vocabulary.encode(text)
    assert ids.dtype == np.int32 and "".join(vocabulary.decode(ids)) == text


def test_unseen_symbols_are_listed():
    with pytest.raises(UserError, match=r"2 symbol\(s\).*'x' 'ÿ'"):
        Vocabulary("abc").encode("aÿxbx")


def test_a_saved_vocabulary_is_the_same(tmp_path):
    vocabulary = Vocabulary(["\n", '"', "é", "🙂", "\u2028"])
    vocabulary.save(tmp_path / "v.json")
    assert Vocabulary.load(tmp_path / "v.json").symbols == vocabulary.symbols


def test_unknown_symbols_get_the_id_that_is_given_for_them():
    assert list(Vocabulary(["a", "b"]).encode(["b", "x", "a"], unknown=7)) == [1, 7, 0]
