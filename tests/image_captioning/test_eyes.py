import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageDraw

from common.training import trainer
from examples.image_captioning.eyes import FrozenEyes, TinyEyes


def scene(left, top):
    image = Image.new("RGB", (64, 64), (238, 238, 232))
    ImageDraw.Draw(image).rectangle((left, top, left + 15, top + 15), fill=(214, 40, 40))
    return np.asarray(image)


@pytest.fixture(scope="module")
def eyes():
    trainer.set_seed_and_precision(1, "float32")
    return TinyEyes(64)


def test_each_cell_is_scaled_alike_whatever_its_strength():
    kept = np.array([[1.0, 2.0, 10.0, 20.0, 0.0, 0.0, 7.0, 8.0, 9.0]])
    where, what = FrozenEyes((3, 2), (1, 3))(kept.astype("float16"))
    np.testing.assert_allclose(where[0, 0], where[0, 1], atol=1e-3)
    np.testing.assert_allclose(tf.reduce_mean(where**2, axis=-1), [[1, 1, 0]], atol=1e-3)
    np.testing.assert_array_equal(what, [[[7, 8, 9]]])


def test_for_looking_there_is_only_what_fills_a_cell(eyes):
    where, _ = eyes(scene(24, 32)[None])
    strength = tf.norm(where, axis=-1).numpy().reshape(8, 8)
    inside = np.zeros((8, 8), bool)
    inside[4:6, 3:5] = True
    assert strength[inside].min() > 50 * strength[~inside].max()


def test_the_average_over_the_cells_tells_where_a_thing_is(eyes):
    _, what = eyes(np.stack([scene(24, 24), scene(32, 24), scene(24, 32)]))
    here, right, down = (np.split(mean, 3) for mean in what.numpy().mean(axis=1))  # feature, times column, times row
    paper = np.split(eyes(np.full((1, 64, 64, 3), (238, 238, 232), np.uint8))[1].numpy().mean(axis=1)[0], 3)
    cell = 2 / 7  # in units of half a picture, from the middle of the first cell to that of the last
    moved = cell * (here[0] - paper[0])
    np.testing.assert_allclose(right[0], here[0], atol=1e-5)
    np.testing.assert_allclose(right[1] - here[1], moved, atol=1e-5)
    np.testing.assert_allclose(right[2], here[2], atol=1e-5)
    np.testing.assert_allclose(down[1], here[1], atol=1e-5)
    np.testing.assert_allclose(down[2] - here[2], moved, atol=1e-5)
    assert np.abs(moved).max() > 1e-3
