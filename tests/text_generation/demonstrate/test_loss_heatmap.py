from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from common.data.pieces import PieceVocabulary
from common.viz import figures
from common.viz.fonts import Typesetter
from examples.text_generation.demo import TextGenerator
from examples.text_generation.demonstrate.loss_heatmap import (
    CELL_HEIGHT,
    CELL_WIDTH,
    HEADER,
    MARGIN,
    CharacterLosses,
    character_losses,
    choose_passage,
    draw_loss_heatmap,
)


def test_the_losses_are_those_of_the_predicted_probabilities(trained):
    generator, text = TextGenerator.load(trained), "MIRA:\nWho keeps the lamp tonight?"
    losses = character_losses(generator, text, context=6)
    assert losses.text == text[6:] and len(losses.nll_bits) == len(losses.predictions) == len(text) - 6
    state, ids = generator.model.initial_state(1), generator.vocabulary.encode(text)
    for t, character_id in enumerate(ids[:-1]):
        logits, state = generator.model.make_decode_step()(np.array([character_id]), state)
        if t + 1 >= 6:
            probabilities = np.exp(logits[0]) / np.exp(logits[0]).sum()
            assert losses.nll_bits[t + 1 - 6] == pytest.approx(-np.log2(probabilities[ids[t + 1]]), rel=1e-3)
            best = generator.vocabulary.decode(np.argsort(-probabilities)[:3])
            assert list(losses.predictions[t + 1 - 6]) == best


def test_the_characters_of_a_token_share_its_nll():
    vocabulary = PieceVocabulary([" ", " house", "The", "a"])
    generator = SimpleNamespace(
        vocabulary=vocabulary, logits=lambda ids: tf.zeros([1, ids.shape[1], len(vocabulary)])
    )  # to which all four are as likely: 2 bits a token
    losses = character_losses(generator, "The house a", context=1)  # inside the first token, which has no nll
    assert losses.text == " house a" and [*losses.predictions] == [()] * 8
    np.testing.assert_allclose(losses.nll_bits, [2 / 6] * 6 + [2, 2], rtol=1e-6)


@pytest.mark.parametrize(
    ("text", "drawn"),
    [
        ("one\ntwo\nthree\nfo", "three\n"),
        ("ab", "b"),
        ("\n\n", "\n"),
        ("no line ends", "e ends"),
        ("a line end\n", "e end\n"),
    ],
)
def test_a_passage_is_whole_lines_where_there_are_lines(text, drawn):
    passage, context = choose_passage(text)
    assert passage[context:] == drawn and context >= 1


def test_each_cell_has_the_shade_of_its_character(tmp_path):
    bits = np.array([0.0, 8.0, 0.0, 20.0])
    draw_loss_heatmap(CharacterLosses("ab\nc", bits, [["x"]] * 4), tmp_path / "s.png", columns=40)
    image = Image.open(tmp_path / "s.png").convert("L")
    top = image.height - MARGIN - 2 * CELL_HEIGHT  # two lines: the third character ends the first

    def corner(column, line):
        return image.getpixel((MARGIN + column * CELL_WIDTH + 1, top + line * CELL_HEIGHT + 1))

    assert corner(0, 0) > 200 > 100 > corner(1, 0)
    assert corner(2, 0) > 200 and corner(0, 1) < 100 and corner(1, 1) == 255


def test_without_predictions_none_are_announced(tmp_path):
    headers = []
    for predictions in ([["x"]] * 3, [()] * 3):
        draw_loss_heatmap(CharacterLosses("abc", np.ones(3), predictions), tmp_path / "s.png")
        headers.append(np.asarray(Image.open(tmp_path / "s.png").convert("L"))[: HEADER - 4])
    announced, silent = (np.nonzero((header[50:] < 250).any(axis=0))[0].max() for header in headers)
    assert silent < announced - 200  # the note ends the line


def test_long_lines_wrap_inside_the_picture(tmp_path):
    count = 130
    losses = CharacterLosses("m" * count, np.full(count, 9.0), [["m", "n", "o"]] * count)
    draw_loss_heatmap(losses, tmp_path / "s.png", columns=64)
    image = np.asarray(Image.open(tmp_path / "s.png").convert("L"))
    assert image.shape[1] == 2 * MARGIN + 64 * CELL_WIDTH
    assert (image[:, -MARGIN:] == 255).all() and (image[:, :MARGIN] == 255).all()


@pytest.mark.parametrize(("text", "columns"), [("abc", [0, 1, 2]), ("قطة", [2, 1, 0])])
def test_the_correct_prediction_is_blue_and_cells_follow_the_script(tmp_path, monkeypatch, text, columns):
    drawn = []

    def note(setter, draw, corner, letters, fill, anchor="la"):
        if corner[1] > HEADER:
            drawn.append((letters, fill, (corner[0] - MARGIN) // CELL_WIDTH))

    monkeypatch.setattr(Typesetter, "draw", note)
    draw_loss_heatmap(CharacterLosses(text, np.zeros(3), [["x", text[0], "y"]] * 3), tmp_path / "s.png")
    assert [(letter, column) for letter, _, column in drawn[::4]] == [*zip(text, columns, strict=True)]
    predicted = [[(letter, fill) for letter, fill, _ in drawn[4 * n + 1 : 4 * n + 4]] for n in range(3)]
    wrong = ("x", figures.FAINT), ("y", figures.FAINT)
    assert predicted[0] == [wrong[0], (text[0], figures.SECOND), wrong[1]]
    assert predicted[1] == predicted[2] == [wrong[0], (text[0], figures.FAINT), wrong[1]]
