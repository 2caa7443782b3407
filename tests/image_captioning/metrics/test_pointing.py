import json

import numpy as np
import pytest

from common.errors import UserError
from examples.image_captioning.metrics.pointing import (
    COCO_CATEGORIES,
    BoxedPhoto,
    PointingGame,
    category_of,
    read_coco_boxes,
)


@pytest.mark.parametrize(
    ("word", "category"),
    [
        ("woman", "person"), ("dogs", "dog"), ("buses", "bus"), ("bike", "bicycle"), ("ball", "sports ball"),
        ("puppy", "dog"), ("lawn", None), ("a", None), ("skis", "skis"),
    ],
)  # fmt: skip
def test_words_name_categories(word, category):
    assert category_of(word, COCO_CATEGORIES) == category
    assert len(COCO_CATEGORIES) == 80


def test_only_what_is_in_the_photo_counts():
    assert category_of("woman", ["dog"]) is None and category_of("circle", ["circle"]) == "circle"


def peak_at(row, column, side=5):
    grid = np.full((side, side), 0.01)
    grid[row, column] = 0.9
    return grid


def test_hits_chance_and_centre_are_counted_by_word():
    photo = BoxedPhoto("x", (100, 200), {"dog": [(0, 0, 20, 40)], "cat": [(40, 80, 100, 200), (40, 80, 100, 200)]})
    game = PointingGame()
    game.update(
        photo, ["a", "dog", "dogs", "cat"], np.stack([peak_at(0, 0), peak_at(0, 0), peak_at(0, 4), peak_at(4, 4)])
    )
    results = game.results()
    assert results["pointing_words"] == 3 and results["pointing"] == pytest.approx(2 / 3)
    assert results["pointing_centre"] == pytest.approx(1 / 3)
    assert results["pointing_chance"] == pytest.approx((0.04 + 0.04 + 0.36) / 3, abs=0.01)


def test_the_peak_is_that_of_the_attention_as_drawn_in_which_neighbours_add_up():
    grid = np.zeros((8, 8))
    grid[1, 1:3], grid[6, 6] = 0.3, 0.35
    game = PointingGame()
    game.update(BoxedPhoto("x", (80, 80), {"dog": [(10, 10, 30, 20)]}), ["dog"], grid[None])
    assert game.results()["pointing"] == 1


def test_small_things_beside_others_are_counted_once_more():
    small, large = [(0, 0, 20, 20)], [(0, 0, 60, 60)]
    for boxes, is_difficult in (
        ({"dog": small, "cat": large}, True),
        ({"dog": small}, False),  # nothing to be mistaken for it
        ({"dog": large, "cat": small}, False),  # nobody can miss it
    ):
        game = PointingGame()
        game.update(BoxedPhoto("x", (100, 100), boxes), ["dog"], peak_at(0, 0)[None])
        results = game.results()
        assert results["pointing_words"] == 1 and ("pointing_difficult" in results) is is_difficult
    game.update(
        BoxedPhoto("y", (100, 100), {"dog": small, "cat": large}), ["dog", "dog"], np.stack([peak_at(0, 0)] * 2)
    )
    results = game.results()
    assert results["pointing_words"] == 3 and results["pointing_difficult_words"] == 2
    assert results["pointing_difficult"] == 1 and results["pointing_difficult_centre"] == 0
    assert results["pointing_difficult_chance"] == pytest.approx(0.04, abs=0.005)


def test_the_error_is_that_of_the_lead_over_the_centre_between_photos():
    game = PointingGame()
    assert game.results() == {"pointing_words": 0}  # no share of nothing
    for corner in (0, 4):
        photo = BoxedPhoto(f"photo {corner}", (100, 100), {"dog": [(0, 0, 20, 20)]})
        for words in (["dog"], ["dogs"], ["nothing"]):
            game.update(photo, words, peak_at(corner, corner)[None])
    assert game.results()["pointing"] == 0.5 and game.results()["pointing_centre"] == 0
    assert game.results()["pointing_error"] == pytest.approx(np.std([0, 1]) / np.sqrt(2))


def test_coco_boxes_are_read_as_corners(tmp_path):
    content = {
        "images": [{"id": 7, "file_name": "a.jpg", "width": 100, "height": 50}],
        "categories": [{"id": 3, "name": "dog"}],
        "annotations": [{"image_id": 7, "category_id": 3, "bbox": [10, 20, 30, 5]}],
    }
    (tmp_path / "i.json").write_text(json.dumps(content))
    assert read_coco_boxes(tmp_path / "i.json") == [BoxedPhoto("a.jpg", (100, 50), {"dog": [(10, 20, 40, 25)]})]
    (tmp_path / "i.json").write_text("{}")
    with pytest.raises(UserError, match="i.json"):
        read_coco_boxes(tmp_path / "i.json")
