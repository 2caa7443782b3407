import numpy as np
import pytest

from common.app.cli import require_encoding
from common.data.text_files import decode, normalise, read_csv, read_text
from common.data.vocabulary import Vocabulary
from common.errors import UserError


def test_bom_and_line_ends_and_unicode_forms_do_not_matter():
    assert normalise("\ufeffun café\r\ndeux\n") == normalise("un cafe\u0301\ndeux\n") == "un café\ndeux\n"


def test_a_carriage_return_ends_a_line_only_where_nothing_else_does():
    assert normalise("un\rdeux\r") == "un\ndeux\n"
    assert normalise("un\rdeux\r\ntrois\n") == "un deux\ntrois\n"


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


SAMPLES = {
    "cp1252": "“It’s late,” he said – the café is closed.",
    "gb18030": "我喜欢猫。他昨天去了学校，今天在家里看书。",
    "cp932": "私は猫が好きです。昨日、学校へ行きました。",
    "euc_kr": "나는 고양이를 좋아합니다. 어제 학교에 갔습니다.",
    "koi8_r": "Я люблю кошек. Вчера он пошёл в школу.",
    "cp1251": "Я люблю кошек. Вчера он пошёл в школу.",
}


@pytest.mark.parametrize("encoding", SAMPLES)
def test_the_advice_for_other_encodings_works_when_it_is_followed(tmp_path, encoding):
    path, text = tmp_path / "a.txt", f"{SAMPLES[encoding]}\n" * 3
    path.write_bytes(b"ascii\n" + text.encode(encoding))
    with pytest.raises(UserError) as error:
        read_text(path)
    message = str(error.value)
    assert "a.txt: line 2, byte offset " in message and f"it looks like {encoding}: " in message
    assert f'add --encoding {encoding} if "{SAMPLES[encoding][:60]}" is right' in message
    assert read_text(path, encoding) == "ascii\n" + text


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_says_the_encoding(tmp_path, encoding):
    (tmp_path / "a.txt").write_bytes("né 猫\r\n".encode(encoding))
    assert read_text(tmp_path / "a.txt") == "né 猫\n"


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_not_read_as_nulls(encoding):
    with pytest.raises(UserError, match=f"null bytes.*--encoding {encoding}"):
        decode("to be or not".encode(encoding), "a.txt")


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_that_is_no_utf_8_is_recognised(tmp_path, encoding):
    (tmp_path / "a.txt").write_bytes("to be or not\nthe café’s\n".encode(encoding))
    with pytest.raises(UserError, match=f"null bytes, as UTF-16 is: add --encoding {encoding}"):
        read_text(tmp_path / "a.txt")


@pytest.mark.parametrize(
    "text",
    [
        "la niña ve el gato",
        "Il dit\xa0: «\xa0oui\xa0» et puis il part avec elle pour toujours, sans un mot de plus.",
        "Der Bär läuft schnell über die lange Straße in die Stadt.",
    ],
)
def test_the_first_guess_for_few_accents_is_western(tmp_path, text):
    (tmp_path / "a.txt").write_bytes(text.encode("latin-1"))
    with pytest.raises(UserError, match=f'add --encoding cp1252 if "{text[:60]}" is right'):
        read_text(tmp_path / "a.txt")


def test_control_characters_of_a_wrong_encoding_are_told(tmp_path, capsys):
    (tmp_path / "a.txt").write_bytes("don’t".encode("cp1252"))
    assert read_text(tmp_path / "a.txt", "cp1252") == "don’t" and capsys.readouterr().err == ""
    read_text(tmp_path / "a.txt", "latin-1")
    assert "control characters such as U+0092, which no text has; --encoding cp1252" in capsys.readouterr().err


def test_two_encodings_that_look_the_same_are_one_choice(tmp_path):
    (tmp_path / "a.txt").write_bytes("I don’t.\nYou don’t, and we don’t.\n".encode("cp1252"))
    with pytest.raises(UserError, match='it looks like cp1252: add --encoding cp1252 if "I don’t." is right$'):
        read_text(tmp_path / "a.txt")


@pytest.mark.parametrize("name", ["none", "zip", "rot13", "", "\0"])
def test_an_encoding_that_is_none_is_an_error(name):
    if name == "":
        return require_encoding(name)  # like None
    with pytest.raises(UserError, match="--encoding: unknown"):
        require_encoding(name)


@pytest.mark.parametrize("encoding", ["gb18030", "cp1252", "ascii", "shift_jis", "euc_kr"])
def test_utf_8_that_is_read_in_another_encoding_is_recognised(tmp_path, encoding):
    (tmp_path / "a.txt").write_text("Él está aquí – “sí”, dijo la niña.\n", encoding="utf-8")
    with pytest.raises(UserError, match="it is UTF-8: add --encoding utf-8"):
        read_text(tmp_path / "a.txt", encoding)


def test_utf_8_that_can_be_read_in_another_encoding_is_told(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("Él está aquí.\n", encoding="utf-8")
    read_text(tmp_path / "a.txt", "koi8_r")
    assert "a.txt is UTF-8, and is read as koi8_r; --encoding utf-8 may be right" in capsys.readouterr().err


def test_a_quotation_mark_that_is_not_closed_is_an_error_with_its_row():
    rows = [f"{n},Hello {n}" for n in range(300)]
    assert read_csv("\n".join(rows), "a.csv", ",") == [row.split(",") for row in rows]
    rows[49] = '49,"Stop, said the man'
    with pytest.raises(UserError, match="a.csv: row 50: a quotation mark is not closed for 250 lines; close it"):
        read_csv("\n".join(rows), "a.csv", ",")


def test_other_files_of_a_folder_are_counted(tmp_path, capsys):
    for name in ("a.txt", "b.md", "c.epub", "d"):
        (tmp_path / name).write_text(name)
    assert read_text(tmp_path) == "a.txt"
    assert f"note: left out of {tmp_path} because they are no texts (3): b.md, c.epub, d\n" in capsys.readouterr().err


def test_bytes_that_are_no_text_are_not_given_an_encoding(tmp_path):
    (tmp_path / "a.txt").write_bytes(bytes(range(128, 256)) * 20)
    with pytest.raises(UserError, match="a.txt: line 1, byte offset 0"):
        read_text(tmp_path / "a.txt")


def test_all_texts_of_a_folder_whatever_the_case_of_their_endings(tmp_path):
    for name in ("a.TXT", "b.text"):
        (tmp_path / name).write_text(name)
    assert read_text(tmp_path) == "a.TXT\nb.text"


GUTENBERG = """The Project Gutenberg eBook of Hamlet

This ebook is for the use of anyone anywhere.

*** START OF THE PROJECT GUTENBERG EBOOK HAMLET ***



HAMLET

To be.

*** END OF THE PROJECT GUTENBERG EBOOK HAMLET ***

The licence.
"""


def test_the_licence_of_project_gutenberg_is_left_out_with_a_note(tmp_path, capsys):
    (tmp_path / "hamlet.txt").write_text(GUTENBERG)
    (tmp_path / "own.txt").write_text("*** To be ***\n")
    assert read_text(tmp_path) == "HAMLET\n\nTo be.\n\n*** To be ***\n"
    [note] = capsys.readouterr().err.splitlines()
    assert note.startswith("note: hamlet.txt: left out Project Gutenberg's header and licence")
