import json
from types import SimpleNamespace

import pytest
import tensorflow as tf
from PIL import Image

from common.app.cli import main
from common.errors import UserError
from common.training.run_directory import RunDirectory
from examples.image_captioning.__main__ import COMMANDS
from examples.image_captioning.demo import PhotoCaptioner


def command(*arguments):
    return main("python -m examples.image_captioning", "", COMMANDS, [str(argument) for argument in arguments])


def test_photos_of_ones_own_go_through_a_frozen_network(album, tmp_path, capsys):
    small = ["--units", 16, "--embedding-dim", 8, "--attention-units", 8, "--epochs", 1, "--min-count", 1]
    frozen = ["--encoder-weights", "random", "--features-dir", tmp_path / "features", "--mirror"]
    run = RunDirectory(tmp_path / "run")
    assert command("train", "--data", album, "--run-dir", run.path, *small, *frozen) == 0
    assert "9 images with 18 captions to train on, 3 images to validate" in capsys.readouterr().out
    names = {str(path.relative_to(run.path)) for path in run.path.rglob("*")}
    assert {
        "config.json", "vocabulary.json", "encoder.safetensors", "metrics.csv", "report.html", "samples/epoch_0001.txt",
        "samples/epoch_0001.png", "figures/learning_curve.png", "figures/training.gif", "figures/caption_1.png",
        "tensorboard/words_vectors.tsv",
    } <= names  # fmt: skip
    assert len(list((tmp_path / "features").rglob("*.features"))) == 3  # train, train mirrored, validation

    assert command("evaluate", "--run", run.path, "--features-dir", tmp_path / "features") == 0
    assert "beam bleu_4" in capsys.readouterr().out and "bleu 4" in run.report.read_text()
    assert command("caption", "--run", run.path, album / "photo 1.png", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["attention"]) == len(found["words"])
    assert command("export", "--run", run.path, "--out", tmp_path / "model") == 0
    served = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    image = tf.constant((album / "photo 1.png").read_bytes())
    assert served(image=image, length_penalty=tf.constant(0.7))["caption"].numpy().decode() == found["caption"]


def test_photos_of_ones_own_train_the_tiny_network_too(album, tmp_path):
    flags = ["--preset", "tiny", "--data", album, "--epochs", 1]
    assert command("train", *flags, "--run-dir", tmp_path / "run", "--features-dir", tmp_path / "features") == 0


@pytest.mark.nightly
def test_captions_in_chinese_are_learnt_letter_by_letter(tmp_path, capsys):
    colours = {"红": "red", "蓝": "blue"}
    lines = []
    for number in range(40):
        letter = "红蓝"[number % 2]
        photo = Image.new("RGB", (64, 64), colours[letter])
        photo.putpixel((number, 0), (0, 0, 0))  # no copies, which would all go to one part
        photo.save(tmp_path / f"{number}.png")
        lines.append(f"{number}.png\t一张{letter}色的照片。\n")
    (tmp_path / "captions.tsv").write_text("".join(lines))
    run = tmp_path / "run"
    short = ["--epochs", 12, "--batch-size", 4, "--max-length", 6, "--features-dir", tmp_path / "features"]
    assert command("train", "--preset", "tiny", "--data", tmp_path, "--run-dir", run, *short) == 0
    told = capsys.readouterr()
    assert "12 words" in told.out
    assert "100% of the captions are longer than 6 words" in told.err and "--max-length 7" in told.err
    assert command("caption", "--run", run, tmp_path / "0.png", tmp_path / "1.png", "--json") == 0
    captions = [json.loads(line)["caption"] for line in capsys.readouterr().out.splitlines()]
    assert captions == ["一张红色的照", "一张蓝色的照"]


def test_caption_draws_a_sheet_and_a_film_for_each_photo_and_names_the_bad_ones(trained, tmp_path, capsys):
    for name in ("one.png", "two.jpg"):
        Image.new("RGB", (50, 30), "blue").save(tmp_path / name)
    (tmp_path / "page.png").write_text("<!DOCTYPE html><html>")
    photos = [tmp_path / name for name in ("one.png", "page.png", "two.jpg")]
    assert command("caption", "--run", trained.path, *photos, "--out", tmp_path / "drawn", "--beam", 1) == 2
    output = capsys.readouterr()
    assert "page.png: it is an HTML" in output.err and output.err.count("\n") == 1
    assert output.out.count("\n") == 2
    assert {"one.png", "two.png"} <= {path.name for path in (tmp_path / "drawn").iterdir()}


def test_caption_searches_as_its_flags_say(trained, tmp_path, monkeypatch):
    searches = []

    def caption_file(path, *search):
        searches.append(search)
        raise UserError("enough")

    monkeypatch.setattr(PhotoCaptioner, "load", lambda run: SimpleNamespace(caption_file=caption_file))
    flags = ["--beam", 5, "--length-penalty", 0.2, "--json"]
    assert command("caption", "--run", trained.path, tmp_path / "a.png", *flags) == 2
    assert searches == [(5, 0.2)]


@pytest.mark.nightly
def test_line_by_line_it_learns_the_same(tmp_path):
    def losses(name, *flags):
        flags = ["--preset", "tiny", "--epochs", 1, "--steps-per-epoch", 3, "--run-dir", tmp_path / name, *flags]
        assert command("train", *flags) == 0
        [row] = RunDirectory(tmp_path / name).read_metrics()
        return row["loss"], row["val_loss"]

    assert losses("eager", "--eager") == pytest.approx(losses("compiled"), abs=1e-4)


def spoil(album, name, content):
    (album / name).write_bytes(content)
    return ["--data", album]


def empty(album):
    (album / "empty").mkdir()
    return album / "empty"


BAD_TRAINING = {
    "unknown name": (lambda album: ["--data", "flickr9k"], "known are flickr8k, coco"),
    "no captions": (lambda album: ["--data", empty(album)], "expected a captions.json"),
    "a bad photo in twelve": (lambda album: spoil(album, "photo 1.png", b""), "photo 1.png: the file is empty"),
    "captions that are none": (lambda album: spoil(album, "captions.json", b"{"), "captions.json: no list of captions"),
    "too much dropout": (lambda album: ["--data", album, "--dropout", 1.0], "--dropout"),
    "no encoder weights": (lambda album: ["--data", album, "--encoder-weights", "no.h5"], "--encoder-weights no.h5"),
    "mirrored scenes": (lambda album: ["--preset", "tiny", "--mirror"], "--mirror: captions of drawn scenes say left"),
    "scenes for a photo network": (lambda album: ["--data", "tiny"], "--data tiny: the scenes are for --encoder tiny"),
}


@pytest.mark.parametrize("case", BAD_TRAINING)
def test_bad_input_is_one_line_and_exit_code_2(album, tmp_path, capsys, case):
    flags, message = BAD_TRAINING[case]
    weights = ["--encoder-weights", "random", "--features-dir", tmp_path / "features"]
    assert command("train", "--run-dir", tmp_path / "run", *weights, *flags(album)) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ") and message in error
    assert not (tmp_path / "run").exists()


def test_a_folder_that_is_no_run_is_refused(tmp_path, capsys):
    for verb in (["caption", "x.jpg"], ["evaluate"], ["export"]):
        assert command(*verb, "--run", tmp_path) == 2
        assert "not a run directory" in capsys.readouterr().err
