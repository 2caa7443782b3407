import numpy as np
import pytest

from common.errors import UserError
from examples.image_captioning.download.toy_scenes import COLOURS, RELATIONS, SIZE, Shape, make_scenes


def test_the_same_seed_makes_the_same_scenes():
    assert make_scenes(30, 1, False) == make_scenes(30, 1, False) != make_scenes(30, 2, False)


def test_each_shape_has_its_colour_in_the_middle_of_its_box():
    for scene in make_scenes(100, 3, True):
        pixels = np.asarray(scene.draw())
        for shape in scene.shapes:
            left, top, right, bottom = shape.box
            assert 0 <= left < right <= SIZE and 0 <= top < bottom <= SIZE
            assert tuple(pixels[int((top + bottom) / 2), int((left + right) / 2)]) == COLOURS[shape.colour]


def test_captions_tell_the_relation_from_both_ends():
    for scene in make_scenes(100, 4, False):
        if len(scene.shapes) == 1:
            assert scene.captions == [scene.shapes[0].name]
            continue
        one, other = (((b[0] + b[2]) / 2, (b[1] + b[3]) / 2) for b in (shape.box for shape in scene.shapes))
        across, down = RELATIONS[scene.relation]
        assert (one[0] - other[0]) * across + (one[1] - other[1]) * down > 10
        there, back = scene.captions
        assert there.split(scene.relation)[0].strip() == back[-len(scene.shapes[0].name) :]


def test_pairs_held_out_are_in_no_training_scene():
    def pairs(scenes):
        return {frozenset(shape.name for shape in scene.shapes) for scene in scenes if len(scene.shapes) == 2}

    train, held_out = pairs(make_scenes(1500, 0, False)), pairs(make_scenes(300, 1, True))
    assert not train & held_out and len(held_out) > 10


@pytest.mark.parametrize(("colour", "kind"), [("orange", "circle"), ("red", "star")])
def test_what_cannot_be_drawn_is_an_error(colour, kind):
    with pytest.raises(UserError, match=f"expected one of red, .* and of circle, .*, got a {colour} {kind}"):
        Shape(colour, kind, (0, 0, 9, 9))
