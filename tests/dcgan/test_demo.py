from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from common.app.outputs import Outputs
from common.errors import UserError
from common.training.run_directory import Run
from examples.dcgan.config import PRESETS
from examples.dcgan.demo import (
    FRAMES_A_LEG,
    ImageGenerator,
    draw_noise,
    draw_training_gif,
    draw_walk,
    sheet,
    spherical_interpolation,
    walk,
    write_files,
    write_sheet,
    write_walk,
)
from examples.dcgan.train import train
from tests.dcgan.tiny import SETTINGS


@pytest.fixture(scope="module")
def generator(trained):
    return ImageGenerator.load(trained)


def test_the_same_seed_makes_the_same_images_however_many(generator):
    many = generator.draw(300, seed=3)  # more than are made at once
    assert many.shape == (300, 28, 28, 1) and many.dtype == np.uint8
    np.testing.assert_array_equal(many, generator.draw(300, seed=3))
    assert not np.array_equal(many[:5], generator.draw(5, seed=4))


def test_a_batch_makes_of_each_noise_what_it_makes_of_it_alone(generator):
    noise = draw_noise(3, generator.model.noise_dim, seed=1)
    alone = np.concatenate([generator.make(noise[number : number + 1]) for number in range(3)])
    assert np.abs(generator.make(noise).astype(int) - alone).max() <= 1  # of 255, by rounding


def test_the_arc_keeps_the_length_and_meets_both_ends():
    start, end = tf.constant([[3.0, 0.0]]), tf.constant([[0.0, 3.0]])
    np.testing.assert_allclose(spherical_interpolation(start, end, 0.0), start, atol=1e-5)
    np.testing.assert_allclose(spherical_interpolation(start, end, 1.0), end, atol=1e-5)
    np.testing.assert_allclose(spherical_interpolation(start, end, 1 / 3), [[3 * 0.75**0.5, 1.5]], atol=1e-5)
    same = spherical_interpolation(start, start, 0.5)
    assert np.isfinite(same).all()


def test_a_walk_passes_every_stop_and_returns():
    stops = [draw_noise(2, 8, seed) for seed in (1, 2, 3)]
    path = walk(stops, 4)
    assert len(path) == 12
    for number, stop in enumerate(stops):
        np.testing.assert_allclose(path[4 * number], stop, atol=1e-4)


def test_a_walk_is_a_gif(generator, tmp_path):
    draw_walk(generator, (1, 2), 4, tmp_path / "walk.gif")
    with Image.open(tmp_path / "walk.gif") as gif:
        assert 2 < gif.n_frames <= 2 * FRAMES_A_LEG  # frames that do not differ are merged


def test_sheets_and_files(generator, tmp_path):
    assert sheet(np.zeros((5, 28, 28, 3), np.uint8)).mode == "RGB"
    assert write_files(generator, 5, 3, Outputs(tmp_path, "run")) == tmp_path
    assert [path.name for path in sorted(tmp_path.iterdir())] == [f"seed_3_000{number}.png" for number in range(5)]
    drawn = generator.draw(5, seed=3)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "seed_3_0004.png")), drawn[4, ..., 0])
    path = write_sheet(generator, 5, 3, Outputs(tmp_path, "run"))
    np.testing.assert_array_equal(np.asarray(Image.open(path)), np.asarray(sheet(drawn)))


def test_long_walks_that_differ_have_files_of_their_own(generator, tmp_path):
    seeds = [*range(10)]
    outputs = Outputs(tmp_path, "run")
    assert write_walk(generator, seeds[:9], 1, outputs).name == "walk_0_1_2_3_4_5_6_7_and_on_1.gif"
    with pytest.raises(UserError, match="there already"):
        write_walk(generator, seeds, 1, outputs)


@pytest.fixture(scope="module")
def born(tmp_path_factory):
    """A run of two epochs of 40 steps."""
    path = tmp_path_factory.mktemp("runs") / "born"
    settings = SETTINGS | {"epochs": 2, "steps_per_epoch": 40}
    return Run(train(replace(PRESETS["tiny"], run_dir=path, **settings)).path)


def test_the_first_epoch_is_watched_more_closely(born):
    names = [path.name for path in sorted(born.samples.iterdir())]
    births = ["epoch_0000_step_0016.png", "epoch_0000_step_0032.png"]
    assert names == ["epoch_0000.png", *births, "epoch_0001.png", "epoch_0002.png"]


def test_the_gif_has_the_samples_of_this_run_in_order_and_no_other(born):
    for stray in ("epoch_0000_step_0064.png", "epoch_0099.png"):
        Image.new("L", (10, 10)).save(born.samples / stray)
    draw_training_gif(born)
    with Image.open(born.figures / "training.gif") as gif:
        assert gif.n_frames == 5  # untrained, twice in the first epoch, after each of two epochs
        gif.seek(4)
        assert gif.info["duration"] == 4000
