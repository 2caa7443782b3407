import io
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from common.app.cli import main
from examples.nmt_attention.__main__ import COMMANDS
from examples.nmt_attention.config import TranslateOptions
from examples.nmt_attention.demonstrate import text_io
from examples.nmt_attention.demonstrate.text_io import _decoded, output_lines


@pytest.fixture
def translate(trained, monkeypatch, capsys):
    def run(*arguments, stdin=b""):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        command = ["translate", "--run", str(trained.path), *map(str, arguments)]
        code = main("python -m examples.nmt_attention", "", COMMANDS, command)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run


def test_arguments_files_and_pipes_give_the_same_lines(translate, tmp_path):
    expected = "Where are the girls?\nthe cat sees the house.\n"
    sentences = ["¿Dónde están las niñas?", "el gato ve la casa."]
    assert translate(*sentences) == (0, expected, "")
    (tmp_path / "in.txt").write_bytes(b"\xef\xbb\xbf" + "\r\n".join(sentences).encode())
    assert translate("--file", tmp_path / "in.txt") == (0, expected, "")
    assert translate(stdin="\n".join(sentences).encode()) == (0, expected, "")


@pytest.mark.parametrize(
    ("encoding", "at_once"), [("cp932", True), ("iso8859_16", True), ("UTF16", False), ("u32", False)]
)
def test_a_line_is_decoded_before_the_next_one_is_read_unless_line_ends_have_several_bytes(encoding, at_once):
    file = io.BytesIO("El gato.\nLa niña.\n".replace("ñ", "n").encode(encoding))
    lines = _decoded(file, "stdin", encoding)
    assert next(lines) == "El gato." and (file.read() != b"") == at_once


def test_an_empty_line_stays_one_and_odd_ones_do_not_crash(translate):
    code, out, _ = translate("--batch-size", 2, stdin="\nEl gato ve la casa.\n\n🙂 日本\n\x1b[31m\n".encode())
    lines = out.split("\n")
    assert code == 0 and len(lines) == 6 and lines[:3] == ["", "The cat sees the house.", ""]
    assert "\x1b" not in out


def test_n_best_gives_scores_and_json_everything(translate):
    code, out, _ = translate("--beam", 3, "--n-best", 2, "El gato ve la casa.", "")
    first, second, empty, _ = out.split("\n")
    (score, text), (lower, _) = first.split("\t"), second.split("\t")
    assert code == 0 and text == "The cat sees the house." and 0 >= float(score) >= float(lower) and empty == ""
    code, out, _ = translate("--json", "--beam", 2, "El gato ve la casa.", "")
    entry, nothing = map(json.loads, out.splitlines())
    [best] = entry["translations"]
    assert best["text"] == text and best["source_tokens"] == ["El", "gato", "ve", "la", "casa", "."]
    assert [len(row) for row in best["attention"]] == [6] * len(best["tokens"])
    assert nothing == {"source": "", "translations": []}


def test_attention_draws_a_map_for_each_sentence(translate, tmp_path):
    from PIL import Image

    translate("--attention", tmp_path / "maps", "El gato ve la casa.", "", "x " * 40)
    assert sorted(path.name for path in (tmp_path / "maps").iterdir()) == ["0001.png", "0003.png"]
    assert Image.open(tmp_path / "maps" / "0003.png").width > 40 * 30
    (tmp_path / "file").touch()
    code, _, err = translate("--attention", tmp_path / "file", "El gato ve la casa.")
    assert code == 2 and err.startswith(f"error: {tmp_path}/file/0001.png: cannot be written (File exists)")


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        ((), "a\nni\xf1a\n".encode("latin-1"), "standard input: line 2, byte offset 2: expected UTF-8, got byte 0xf1"),
        (("--file", "none.txt"), b"", "none.txt: cannot be read (No such file"),
        (("--n-best", 2, "x"), b"", "--n-best: expected at most --beam, which is 1, got 2"),
        (("--beam", 0, "x"), b"", "--beam: expected 1 to 1,000, got 0"),
        (("--file", "none.txt", "x"), b"", "expected one of them, got both"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(translate, arguments, stdin, message):
    code, _, err = translate(*arguments, stdin=stdin)
    assert code == 2 and message in err and err.count("\n") == 1


def test_a_given_translation_is_scored_in_place_of_a_search(translate, tmp_path):
    source, right, wrong = "El gato ve la casa.", "The cat sees the house.", "The cat sees the flower."
    _, out, _ = translate("--n-best", 2, "--beam", 2, source)
    found = float(out.split("\t")[0])
    scores = {}
    for reference in (right, wrong):
        code, out, _ = translate(source, "--reference", reference)
        score, text = out.removesuffix("\n").split("\t")
        assert code == 0 and text == reference
        scores[reference] = float(score)
    assert scores[right] == pytest.approx(found, abs=1e-3) and scores[right] > scores[wrong]
    code, out, _ = translate(source, "--reference", wrong, "--json", "--attention", tmp_path / "maps")
    scored = json.loads(out)["reference"]
    assert code == 0 and [path.name for path in (tmp_path / "maps").iterdir()] == ["0001.png"]
    assert scored["tokens"][scored["nll"].index(max(scored["nll"]))] == "flower"
    assert len(scored["nll"]) == len(scored["tokens"]) + 1
    assert [len(row) for row in scored["attention"]] == [6] * len(scored["tokens"])


def test_a_file_of_translations_is_scored_line_for_line(translate, tmp_path):
    (tmp_path / "in.txt").write_text("El gato ve la casa.\n\n¿Dónde están las niñas?\n")
    (tmp_path / "out.txt").write_text("The cat sees the house.\n\nWhere are the girls?\n")
    files = "--file", tmp_path / "in.txt", "--reference-file", tmp_path / "out.txt"
    code, out, _ = translate(*files, "--batch-size", 2)
    assert code == 0 and [line.partition("\t")[2] for line in out.split("\n")] == [
        "The cat sees the house.", "", "Where are the girls?", ""
    ]  # fmt: skip
    (tmp_path / "out.txt").write_text("The cat sees the house.\n")
    code, _, err = translate(*files)
    assert code == 2 and "line 2: there are more sentences; expected a translation for each sentence" in err
    code, _, err = translate("--reference", "a", "b", "c")
    assert code == 2 and "--reference: expected one sentence as argument, got 2" in err


def test_words_outside_the_vocabulary_are_named_once_and_capitals_are_understood(translate):
    code, out, err = translate("El gato ve la casa de Zyx.", "¿Dónde está Zyx?", "EL GATO VE LA CASA.")
    assert code == 0 and out.splitlines()[2] == "The cat sees the house."
    assert err == "note: not in the vocabulary, so copied or left out: de, Zyx\n"
    assert translate("El gato ve la casa.")[2] == ""


def test_who_types_is_answered_line_by_line(monkeypatch, capsys):
    typed = iter(["one", "two", "three"])
    translator = SimpleNamespace(
        translate=lambda texts, *_: [[SimpleNamespace(text=text.upper())] for text in texts],
        unknown_tokens=lambda sentence: [sentence] if sentence == "one" else [],
    )
    monkeypatch.setattr(text_io, "is_interactive", lambda options: True)
    lines = output_lines(translator, typed, None, TranslateOptions(run=Path("run")), "maker")
    assert next(lines) == "ONE" and "copied or left out: one" in capsys.readouterr().err
    assert next(lines) == "TWO" and capsys.readouterr().err == "" and next(typed) == "three"


def test_a_reference_is_scored_with_the_length_penalty_that_is_given():
    asked = []
    translator = SimpleNamespace(score=lambda *given: asked.append(given) or [None])
    options = TranslateOptions(run=Path("run"), length_penalty=0.3)
    assert [*output_lines(translator, ["el gato"], ["the cat"], options, "maker")] == [""]
    assert asked == [([("el gato", "the cat")], 0.3)]
