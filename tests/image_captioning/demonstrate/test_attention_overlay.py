import numpy as np
import pytest
from PIL import Image

from common.viz import figures
from common.viz.fonts import Typesetter
from examples.image_captioning.demonstrate import attention_overlay


def test_a_weight_stands_at_the_middle_of_its_cell_in_the_pictures_own_proportions():
    grid = np.zeros((4, 4))
    grid[1, 2] = 1
    weights = attention_overlay.upsample(grid, (200, 100))
    row, column = np.unravel_index(weights.argmax(), weights.shape)
    assert weights.shape == (100, 200) and weights.min() >= 0
    assert abs(row - 37.5) <= 2 and abs(column - 125) <= 3


def test_a_cell_at_the_border_weighs_no_more_than_one_inside():
    inside, border = np.zeros((4, 4)), np.zeros((4, 4))
    inside[1, 2] = border[1, 3] = 1
    one, other = (attention_overlay.upsample(grid, (80, 80)) for grid in (inside, border))
    assert other.max() <= 1.1 * one.max() and other[30, 70] > 0.9 * other.max()


def test_a_cells_weight_is_spread_as_far_whatever_the_grid():
    for side in (3, 9):
        grid = np.zeros((side, side))
        grid[side // 2, side // 2] = 1
        weights = attention_overlay.upsample(grid, (225, 225))
        assert weights[112, 112] == weights.max()
        np.testing.assert_allclose(weights[112, 112 + 20], np.exp(-0.5), rtol=0.01)


def test_what_is_looked_at_is_lit_and_the_rest_dimmed():
    grid = np.zeros((2, 2))
    grid[0, 0] = 1
    lit = np.asarray(attention_overlay.overlay(Image.new("RGB", (80, 40), (200, 200, 200)), grid))
    assert lit[10, 20].min() > 180 and lit[35, 70].max() < 60


def make(words=12):
    rng = np.random.default_rng(1)
    grids = rng.dirichlet(np.ones(9), size=words).reshape(words, 3, 3)
    return Image.new("RGB", (90, 60), (120, 90, 60)), [f"word{n}" for n in range(words)], grids


def test_a_sheet_has_a_panel_for_the_photo_and_one_for_each_word():
    image, words, grids = make()
    sheet = attention_overlay.sheet(image, words, grids, " ".join(words), width=100, columns=5)
    pixels = np.asarray(sheet.convert("L")).astype(int)
    assert (pixels[:, -10:] == 255).all() and (pixels[-10:] == 255).all()
    assert sheet.width == 5 * 112 + 12
    one = attention_overlay.sheet(image, words[:2], grids[:2], "two words", width=100)
    assert one.width == 3 * 112 + 12


def test_the_number_beside_a_word_is_its_largest_weight_relative_to_uniform_attention(monkeypatch):
    drawn = []
    monkeypatch.setattr(Typesetter, "draw", lambda self, draw, corner, text, *_, **__: drawn.append(text))
    uniform, sharp = np.full((3, 3), 1 / 9), np.diag([1.0, 0.0, 0.0])
    attention_overlay.sheet(Image.new("RGB", (90, 60)), ["one", "two"], np.stack([uniform, sharp]), "")
    assert drawn == ["", "", "one", "1.0x", "two", "9.0x"]


@pytest.mark.parametrize("width", [90, 200])
@pytest.mark.parametrize("word", ["straßenbahnhaltestelle", "fußgängerüberwegbeleuchtung", "ab"])
def test_a_word_too_long_for_its_panel_is_cut_before_the_number(monkeypatch, word, width):
    drawn = []

    class Recorder(Typesetter):
        def draw(self, draw, corner, text, fill, anchor="la"):
            drawn.append((corner[0], corner[0] + self.length(text) * (1 if anchor[0] == "l" else -1), text))

    monkeypatch.setattr(attention_overlay, "Typesetter", Recorder)
    image, _, grids = make()
    attention_overlay.sheet(image, [word], grids[:1], "", width=width)
    (_, end, label), (_, start, _) = drawn[-2:]
    assert end < start and word.startswith(label.removesuffix("…")) and (label == word) == (word == "ab")
    assert label == "ab" or start - end < 20


@pytest.mark.parametrize(("size", "fitted"), [((300, 100), (90, 30)), ((1, 30_000), (1, 180)), ((30_000, 1), (90, 1))])
def test_a_photo_is_fitted_in_its_proportions_and_is_at_most_twice_as_high_as_wide(size, fitted):
    image = Image.new("L", size)
    assert attention_overlay.fit_to_width(image, 90).size == fitted
    grids = np.full([2, 3, 3], 1 / 9)
    assert attention_overlay.sheet(image, ["one", "two"], grids, "", width=90).height < 300
    [frame, _] = attention_overlay.frames(image, ["one", "two"], grids, width=90)
    assert frame.width == 90 and frame.height < 300


def test_a_caption_without_words_is_the_photo_alone():
    image, _, _ = make()
    assert attention_overlay.sheet(image, [], np.zeros((0, 3, 3)), "").width > 100


def test_frames_have_one_size_and_one_word_in_colour_each():
    image, words, grids = make()
    pictures = attention_overlay.frames(image, words, grids, width=200)
    assert len(pictures) == 12 and len({picture.size for picture in pictures}) == 1
    captions = [np.asarray(picture)[134:] for picture in pictures]
    assert all((one != other).any() for one, other in zip(captions, captions[1:], strict=False))
    assert all((np.asarray(picture)[:, -6:] == 255)[134:].all() for picture in pictures)


@pytest.mark.parametrize(("words", "step"), [(["one", "two", "six"], 1), (["قطة", "ترى", "بيت"], -1)])
def test_the_word_in_colour_is_that_of_the_attention_and_words_stand_in_the_order_of_their_script(
    monkeypatch, words, step
):
    drawn = []

    def note(setter, draw, corner, text, fill, anchor="la"):
        drawn.append((text, fill, corner[0]))

    monkeypatch.setattr(Typesetter, "draw", note)
    assert len(attention_overlay.frames(Image.new("RGB", (90, 60)), words, np.full([3, 3, 3], 1 / 9))) == 3
    for number in range(3):
        texts, colours, places = zip(*drawn[3 * number : 3 * number + 3], strict=True)
        said, to_come = [figures.INK] * number, [figures.FAINT] * (2 - number)
        assert [*texts] == words and [*colours] == [*said, figures.ACCENT, *to_come]
        assert (np.diff(places) * step > 0).all() and min(places) > 0 and max(places) < 360
