"""Group D, models: too little data, files of a run that were edited, and any input at inference."""

import json
import os
import shutil

import numpy as np
import pytest
from PIL import Image

from common.run import Run
from examples.__main__ import example_names

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
    return folder / "one", "--image-size", 16, "--width", 4


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
    return folder / "album", "--word-count", 1, "--features-dir", folder / "features"


LITTLE = {
    "text_generation": a_short_text, "dcgan": one_picture, "nmt_attention": a_few_pairs, "image_captioning": two_photos,
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("example", LITTLE)
def test_d04_less_than_one_batch_is_trained_on_or_refused(tmp_path, capsys, command, example):
    run = Run(tmp_path / "run")
    flags = ["--preset", "tiny", "--data", *LITTLE[example](tmp_path), "--batch-size", 64, "--epochs", 2]
    assert command(example, "train", *flags, "--run-dir", run.path) == 0
    rows = run.read_metrics()
    assert len(rows) == 2 and all(np.isfinite(list(row.values())).all() for row in rows)


# Files of a run that were edited.


def edit(path, change):
    value = json.loads(path.read_text(encoding="utf-8"))
    change(value)
    path.write_text(json.dumps(value), encoding="utf-8")


@pytest.mark.parametrize("example", ["text_generation", "nmt_attention", "image_captioning"])
def test_d07_a_vocabulary_of_another_size_is_refused(tmp_path, capsys, command, barely_trained, example):
    run = Run(shutil.copytree(barely_trained(example).path, tmp_path / "run"))
    vocabulary = next(run.path.glob("vocabulary*.json"))
    edit(vocabulary, lambda symbols: symbols.append("one more"))
    photo = [a_picture(tmp_path)] if example == "image_captioning" else []
    assert command(example, *USE[example], *photo, "--run", run.path) == 2
    assert "written by another version of the model (model/" in one_line_of_error(capsys)


@pytest.mark.parametrize("value", ["many", -1, None, [3]])
def test_d07_a_config_that_makes_no_sense_is_refused(tmp_path, capsys, command, barely_trained, value):
    run = Run(shutil.copytree(barely_trained("text_generation").path, tmp_path / "run"))
    edit(run.config, lambda config: config["settings"].update(units=value))
    assert command("text_generation", "generate", "--run", run.path) == 2
    assert "units" in one_line_of_error(capsys)


# Any input at inference.


ODD = {
    "unseen": "Ωmega ≠ ñandú",
    "emoji": "🙂👩‍👩‍👧",
    "right to left": "\u202eשלום",
    "control characters": "a\x07\x08\x1b[31mred\x1b[0m",
    "very long": "el gato " * 12_500,
    "spaces": " \t ",
}


@pytest.mark.parametrize("case", ODD)
@pytest.mark.parametrize("example", ["text_generation", "nmt_attention"])
def test_d09_any_text_gives_an_answer_or_one_line(capsys, command, barely_trained, example, case):
    run = barely_trained(example)
    capsys.readouterr()
    question = ["generate", "--length", 5, "--prompt"] if example == "text_generation" else ["translate"]
    code = command(example, *question, ODD[case], "--run", run.path)
    output = capsys.readouterr()
    assert code in (0, 2) and "Traceback" not in output.err
    assert code == 0 or output.err.count("\n") == 1 and output.err.startswith("error: ")
    assert not set("\x1b\x07\x08") & set(output.out + output.err)


@pytest.mark.parametrize("name", ["\x1b[31mred.png", "ünïcødé 🙂.png"])
def test_d09_names_of_photos_cannot_drive_the_terminal(tmp_path, capsys, command, barely_trained, name):
    run = barely_trained("image_captioning")
    capsys.readouterr()
    photos = [a_picture(tmp_path, name), tmp_path / f"missing {name}"]
    for photo, code in zip(photos, (0, 2), strict=True):
        assert command("image_captioning", "caption", photo, "--run", run.path, "--out", tmp_path / "drawn") == code
        output = capsys.readouterr()
        assert "\x1b" not in output.out + output.err and (output.out + output.err).count("\n") == 1


def test_d09_what_is_no_photo_is_refused_by_name(tmp_path, capsys, command, barely_trained):
    (tmp_path / "page.png").write_text("<html>")
    assert (
        command("image_captioning", "caption", tmp_path / "page.png", "--run", barely_trained("image_captioning").path)
        == 2
    )
    assert "page.png" in one_line_of_error(capsys)


def test_control_a_verb_of_each_example_works_where_nothing_was_edited(tmp_path, command, barely_trained, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for example in example_names():
        photo = [a_picture(tmp_path)] if example == "image_captioning" else []
        out = ["--out", tmp_path / "out"] if example == "dcgan" else []
        assert command(example, *USE[example], *photo, *out, "--run", barely_trained(example).path) == 0
    assert sorted(os.listdir(tmp_path)) == ["out", "photo.png"]
