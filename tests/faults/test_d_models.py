"""Group D, models: too little data, files of a run that were edited, and any input at inference."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from common.training.run_directory import RunDirectory
from examples.__main__ import example_names
from examples.nmt_attention.demo import SentenceTranslator
from examples.text_generation.demo import Sampling, TextGenerator
from tests.nightly import some_nightly

USE = {  # a verb of each example that uses a trained model, and what it takes
    "text_generation": ["generate", "--length", "5"],
    "dcgan": ["generate", "--samples", "1"],
    "nmt_attention": ["translate", "El gato ve la casa."],
    "image_captioning": ["caption", "--json"],
}


def a_picture(folder, name="photo.png"):
    Image.new("RGB", (40, 30), "red").save(folder / name)
    return folder / name


def one_line_of_error(capsys):
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("error: ")]
    assert len(lines) == 1 and "Traceback" not in error, error
    return lines[0]


# Too little data.


def a_short_text(folder):
    (folder / "short.txt").write_text("To be, or not to be, that is the question.\n" * 2)
    return folder / "short.txt", "--window", 16


def one_picture(folder):
    (folder / "one").mkdir()
    a_picture(folder / "one")
    return folder / "one", "--image-size", 16, "--base-channels", 4


def a_few_pairs(folder):
    rows = [f"word{number % 7} {number}\tpalabra{number % 7} {number}\n" for number in range(12)]
    (folder / "few.tsv").write_text("".join(rows))
    return folder / "few.tsv", "--held-out", 0.2


def two_photos(folder):
    (folder / "album").mkdir()
    entries = [
        {"image": a_picture(folder / "album", f"{split}.png").name, "captions": ["A red one."], "split": split}
        for split in ("train", "validation")
    ]
    (folder / "album" / "captions.json").write_text(json.dumps(entries))
    return folder / "album", "--min-count", 1, "--features-dir", folder / "features"


LITTLE = {
    "text_generation": a_short_text, "dcgan": one_picture, "nmt_attention": a_few_pairs, "image_captioning": two_photos,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("example", LITTLE)
def test_d04_less_than_one_batch_is_trained_on_or_refused(tmp_path, capsys, command, example):
    run = RunDirectory(tmp_path / "run")
    flags = ["--preset", "tiny", "--data", *LITTLE[example](tmp_path), "--batch-size", 64, "--epochs", 2]
    assert command(example, "train", *flags, "--run-dir", run.path) == 0
    rows = run.read_metrics()
    assert len(rows) == 2 and all(np.isfinite(list(row.values())).all() for row in rows)


# Files of a run that were edited.


def edit(path, change):
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    path.write_text(json.dumps(value), encoding="utf-8")


EXAMPLES_WITH_VOCABULARY = ["text_generation", "nmt_attention", "image_captioning"]


@pytest.mark.parametrize("example", some_nightly(EXAMPLES_WITH_VOCABULARY, "nmt_attention", "image_captioning"))
def test_d07_a_vocabulary_of_another_size_is_refused(tmp_path, capsys, command, trained, example):
    run = RunDirectory(shutil.copytree(trained(example).path, tmp_path / "run"))
    vocabulary = next(run.path.glob("vocabulary*.json"))
    edit(vocabulary, lambda symbols: symbols.append("one more"))
    photo = [a_picture(tmp_path)] if example == "image_captioning" else []
    assert command(example, *USE[example], *photo, "--run", run.path) == 2
    assert "written by another version of the model (model/" in one_line_of_error(capsys)


@pytest.mark.parametrize("value", ["many", -1, None, [3]])
def test_d07_a_config_that_makes_no_sense_is_refused(tmp_path, capsys, command, trained, value):
    run = RunDirectory(shutil.copytree(trained("text_generation").path, tmp_path / "run"))
    edit(run.config, lambda config: config["settings"].update(units=value))
    assert command("text_generation", "generate", "--run", run.path) == 2
    assert "units" in one_line_of_error(capsys)


# Any input at inference.


ODD = {
    "unseen": "Ωmega ≠ ñandú",
    "emoji": "🙂👩‍👩‍👧",
    "signs that Python calls capitals": "🅱️ Ⓐ",
    "right to left": "\u202eשלום",
    "control characters": "a\x07\x08\x1b[31mred\x1b[0m",
    "very long": "el gato " * 12_500,
    "spaces": " \t ",
}


@pytest.mark.parametrize("case", ODD)
@pytest.mark.parametrize("example", ["text_generation", "nmt_attention"])
def test_d09_any_text_gives_an_answer_or_one_line(capsys, command, trained, example, case):
    run = trained(example)
    capsys.readouterr()
    question = ["generate", "--length", 5, "--prompt"] if example == "text_generation" else ["translate"]
    code = command(example, *question, ODD[case], "--run", run.path)
    output = capsys.readouterr()
    assert code in (0, 2) and "Traceback" not in output.err
    assert code == 0 or output.err.count("\n") == 1 and output.err.startswith("error: ")
    assert not set("\x1b\x07\x08") & set(output.out + output.err)


PERSIAN = "من گربه\u200cها را می\u200cخواهم.\n"
FRENCH = "«\u00a0Oui\u202f!\u00a0» dit-elle\u00a0: 👩\u200d👧\u3000bœuf.\n"


def test_d13_what_the_model_writes_comes_out_as_it_is(tmp_path, capsys, command):
    """Joiners, non-joiners and spaces of all widths are part of the text, and no danger to a terminal."""
    (tmp_path / "text.txt").write_text((PERSIAN + FRENCH) * 30)
    run = RunDirectory(tmp_path / "run")
    train = ["train", "--preset", "tiny", "--data", tmp_path / "text.txt", "--epochs", 1, "--run-dir", run.path]
    assert command("text_generation", *train) == 0
    capsys.readouterr()
    flags = ["--prompt", FRENCH, "--length", 300, "--seed", 1]
    assert command("text_generation", "generate", "--run", run.path, *flags) == 0
    [made] = TextGenerator.load(run).generate(FRENCH, 300, Sampling())
    assert capsys.readouterr().out == FRENCH + made + "\n"
    assert {"\u200c", "\u200d", "\u00a0", "\u202f", "\u3000"} <= {*FRENCH, *made}


def test_d13_what_the_model_translates_comes_out_as_it_is(tmp_path, capsys, command, trained):
    run = RunDirectory(shutil.copytree(trained("nmt_attention").path, tmp_path / "run"))
    words = ["می\u200cخواهم", "a\u00a0b", "👩\u200d👧", "\u3000x"]
    edit(run.path / "vocabulary_target.json", lambda symbols: symbols.__setitem__(
        slice(4, None), [words[n % 4] + str(n) for n in range(len(symbols) - 4)]
    ))  # fmt: skip
    sentences = ["El gato ve la casa.", "La niña quiere la flor."]
    assert command("nmt_attention", "translate", *sentences, "--run", run.path) == 0
    output = capsys.readouterr().out
    translations = [found[0].text for found in SentenceTranslator.load(run).translate(sentences)]
    assert output.split("\n") == [*translations, ""] and {*output} & {"\u200c", "\u00a0", "\u200d", "\u3000"}
    assert command("nmt_attention", "translate", *sentences, "--json", "--run", run.path) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["translations"][0]["text"] for line in lines] == translations and "\\u" not in "".join(
        lines
    )


BEYOND = {
    "text_generation": [
        ["generate", "--top-k", 99999999999], ["generate", "--seed", 10**19], ["generate", "--length", 2147483647],
        ["generate", "--samples", 10**9], ["generate", "--temperature", "inf"], ["generate", "--prompt-file", "/tmp"],
        ["generate", "--length", 10**6, "--samples", 10**4],
    ],
    "dcgan": [
        ["generate", "--seed", 10**19], ["generate", "--samples", 10**10], ["generate", "--interpolate", 1, 10**19],
        ["generate", "--interpolate", *range(101)], ["evaluate", "--samples", 1],
    ],
    "nmt_attention": [
        ["translate", "x", "--beam", 10**9], ["translate", "x", "--batch-size", 10**9],
        ["translate", "x", "--length-penalty", "nan"], ["evaluate", "--beam", 10**9],
    ],
    "image_captioning": [["caption", "x.png", "--beam", 10**9], ["caption", "x.png", "--length-penalty", "inf"]],
}  # fmt: skip


@pytest.mark.parametrize("example", BEYOND)
def test_d15_numbers_beyond_sense_are_refused(capsys, command, trained, example):
    run = trained(example)
    for arguments in BEYOND[example]:
        capsys.readouterr()
        assert command(example, *arguments, "--run", run.path) == 2, arguments
        assert "--" in one_line_of_error(capsys)


@pytest.mark.parametrize("flags", [["--seed", 2**32], ["--batch-size", 10**20], ["--epochs", 10**20]])
@pytest.mark.parametrize("example", example_names())
def test_d15_so_they_are_in_training(tmp_path, capsys, command, example, flags):
    assert command(example, "train", "--preset", "tiny", "--run-dir", tmp_path / "run", *flags) == 2
    assert flags[0] in one_line_of_error(capsys) and not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["\x1b[31mred.png", "ünïcødé 🙂.png"])
def test_d09_names_of_photos_cannot_drive_the_terminal(tmp_path, capsys, command, trained, name):
    run = trained("image_captioning")
    capsys.readouterr()
    photos = [a_picture(tmp_path, name), tmp_path / f"missing {name}"]
    for photo, code in zip(photos, (0, 2), strict=True):
        assert command("image_captioning", "caption", photo, "--run", run.path, "--out", tmp_path / "drawn") == code
        output = capsys.readouterr()
        assert "\x1b" not in output.out + output.err and (output.out + output.err).count("\n") == 1


def test_d09_what_is_no_photo_is_refused_by_name(tmp_path, capsys, command, trained):
    (tmp_path / "page.png").write_text("<html>")
    assert command("image_captioning", "caption", tmp_path / "page.png", "--run", trained("image_captioning").path) == 2
    assert "page.png" in one_line_of_error(capsys)


def test_control_a_verb_of_each_example_works_where_nothing_was_edited(tmp_path, command, trained, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for example in example_names():
        photo = [a_picture(tmp_path)] if example == "image_captioning" else []
        out = ["--out", tmp_path / "out"] if example == "dcgan" else []
        assert command(example, *USE[example], *photo, *out, "--run", trained(example).path) == 0
    assert sorted(os.listdir(tmp_path)) == ["out", "photo.png"]
