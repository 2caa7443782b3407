"""Words and subwords instead of characters, from the text to the exported model."""

import numpy as np
import pytest
import tensorflow as tf

from common.app.cli import main
from common.training.run_directory import RunDirectory
from examples.text_generation.__main__ import COMMANDS
from examples.text_generation.demo import Sampling, TextGenerator
from examples.text_generation.demonstrate.loss_heatmap import character_losses
from examples.text_generation.export import export
from tests.own_pairs import own_pairs

TEXT = "".join(f"{english}\n" for _, english in own_pairs("german", 500))


def command(*arguments):
    return main("python -m examples.text_generation", "", COMMANDS, [str(argument) for argument in arguments])


@pytest.fixture(scope="module", params=["words", "subwords"])
def trained(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "mine.txt").write_text(TEXT)
    flags = ["--preset", "tiny", "--data", folder / "mine.txt", "--run-dir", folder / "run", "--epochs", 3]
    assert command("train", *flags, "--tokens", request.param, "--sample-length", 20) == 0
    return RunDirectory(folder / "run")


@pytest.fixture(scope="module")
def generator(trained):
    return TextGenerator.load(trained)


def test_what_is_generated_is_text_of_pieces(generator):
    [text] = generator.generate("The old", 20, Sampling())
    assert 40 < len(text) < 240 and set(text) <= set(TEXT)


def test_the_measure_is_per_character_and_so_comparable(trained, capsys):
    data = trained.path.parent / "mine.txt"
    assert command("evaluate", "--run", trained.path, "--data", data) == 0
    metrics = trained.read_evaluation().metrics
    per_token = trained.read_metrics()[-1]["val_loss"]
    assert metrics["nats_per_char"] < 0.5 * per_token and metrics["nats_per_char"] < 1.5
    assert "nats per " in trained.report.read_text()


def test_the_nll_of_a_token_is_spread_over_its_characters(generator):
    text = "The old cat sees the new house.\n"
    losses = character_losses(generator, text, 8)
    assert losses.text == text[8:] and len(losses.nll_bits) == len(losses.predictions) == len(losses.text)
    house = losses.nll_bits[losses.text.index("house") :][:5]
    assert np.ptp(house) < 1e-6 or generator.vocabulary.decode(generator.vocabulary.encode(" house")) != [" house"]


def test_the_exported_model_reads_prompts_in_the_same_pieces(generator, tmp_path):
    export(generator, tmp_path / "model", "maker")
    served = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    options = {"temperature": 0.0, "top_k": 0, "top_p": 1.0, "seed": 1}
    text = served(
        prompt=tf.constant("The old teach"), length=tf.constant(12), **{k: tf.constant(v) for k, v in options.items()}
    )["text"].numpy().decode()  # fmt: skip
    [expected] = generator.generate("The old teach", 12, Sampling(temperature=0.0))
    assert text == "The old teach" + expected
