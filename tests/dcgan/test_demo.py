from dataclasses import replace

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from common.app.outputs import Outputs
from common.errors import UserError
from common.training import trainer
from common.training.run_directory import RunDirectory
from examples.dcgan.config import PRESETS
from examples.dcgan.demo import (
    FRAMES_PER_SEGMENT,
    ImageGenerator,
    draw_interpolation,
    draw_training_gif,
    interpolation_frames,
    sample_latents,
    sheet,
    spherical_interpolation,
    write_files,
    write_interpolation,
    write_sheet,
)
from examples.dcgan.train import train
from tests.dcgan.tiny import SETTINGS


@pytest.fixture(scope="module")
def generator(trained):
    return ImageGenerator.load(trained)


def test_the_same_seed_makes_the_same_images_however_many(generator):
    many = generator.sample(300, seed=3)  # more than a batch
    assert many.shape == (300, 28, 28, 1) and many.dtype == np.uint8
    np.testing.assert_array_equal(many, generator.sample(300, seed=3))
    assert not np.array_equal(many[:5], generator.sample(5, seed=4))


def test_an_image_does_not_depend_on_its_batch(generator):
    latents = sample_latents(3, generator.model.latent_dim, seed=1)
    alone = np.concatenate([generator.generate(latents[number : number + 1]) for number in range(3)])
    assert np.abs(generator.generate(latents).astype(int) - alone).max() <= 1  # of 255, by rounding


def test_the_arc_keeps_the_length_and_meets_both_ends():
    start, end = tf.constant([[3.0, 0.0]]), tf.constant([[0.0, 3.0]])
    np.testing.assert_allclose(spherical_interpolation(start, end, 0.0), start, atol=1e-5)
    np.testing.assert_allclose(spherical_interpolation(start, end, 1.0), end, atol=1e-5)
    np.testing.assert_allclose(spherical_interpolation(start, end, 1 / 3), [[3 * 0.75**0.5, 1.5]], atol=1e-5)
    same = spherical_interpolation(start, start, 0.5)
    assert np.isfinite(same).all()


def test_an_interpolation_passes_every_waypoint_and_returns(generator, monkeypatch):
    latents = []
    monkeypatch.setattr(generator, "generate", lambda z: latents.append(z) or np.zeros([2, 8, 8, 1], np.uint8))
    assert len(interpolation_frames(generator, (1, 2, 3), samples=2)) == 3 * FRAMES_PER_SEGMENT
    for number, seed in enumerate((1, 2, 3)):
        waypoint = sample_latents(2, generator.model.latent_dim, seed)
        np.testing.assert_allclose(latents[FRAMES_PER_SEGMENT * number], waypoint, atol=1e-4)


def test_an_interpolation_is_a_gif(generator, tmp_path):
    draw_interpolation(generator, (1, 2), 4, tmp_path / "interpolation.gif")
    with Image.open(tmp_path / "interpolation.gif") as gif:
        assert 2 < gif.n_frames <= 2 * FRAMES_PER_SEGMENT  # frames that do not differ are merged


def test_sheets_and_files(generator, tmp_path):
    assert sheet(np.zeros((5, 28, 28, 3), np.uint8)).mode == "RGB"
    assert write_files(generator, 5, 3, Outputs(tmp_path, "run")) == tmp_path
    assert [path.name for path in sorted(tmp_path.iterdir())] == [f"seed_3_000{number}.png" for number in range(5)]
    drawn = generator.sample(5, seed=3)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "seed_3_0004.png")), drawn[4, ..., 0])
    path = write_sheet(generator, 5, 3, Outputs(tmp_path, "run"))
    np.testing.assert_array_equal(np.asarray(Image.open(path)), np.asarray(sheet(drawn)))


def test_long_interpolations_that_differ_have_files_of_their_own(generator, tmp_path):
    seeds = [*range(10)]
    outputs = Outputs(tmp_path, "run")
    assert write_interpolation(generator, seeds[:9], 1, outputs).name == "interpolation_0_1_2_3_4_5_6_7_and_on_1.gif"
    with pytest.raises(UserError, match="there already"):
        write_interpolation(generator, seeds, 1, outputs)


@pytest.fixture(scope="module")
def early(tmp_path_factory):
    """A run of two epochs of 40 steps."""
    path = tmp_path_factory.mktemp("runs") / "early"
    settings = SETTINGS | {"epochs": 2, "steps_per_epoch": 40}
    return RunDirectory(train(replace(PRESETS["tiny"], run_dir=path, **settings)).path)


def test_more_samples_are_drawn_in_the_first_epoch(early):
    names = [path.name for path in sorted(early.samples.iterdir())]
    steps = ["epoch_0000_step_0016.png", "epoch_0000_step_0032.png"]
    assert names == ["epoch_0000.png", *steps, "epoch_0001.png", "epoch_0002.png"]


def test_the_early_samples_do_not_depend_on_when_results_are_read(early, tmp_path, monkeypatch):
    monkeypatch.setattr(trainer, "MAX_STEPS_TO_READ", 1)
    settings = SETTINGS | {"epochs": 1, "steps_per_epoch": 18}
    train(replace(PRESETS["tiny"], run_dir=tmp_path / "run", **settings))
    name = "epoch_0000_step_0016.png"
    assert (tmp_path / "run" / "samples" / name).read_bytes() == (early.samples / name).read_bytes()


def test_the_gif_has_the_samples_of_this_run_in_order_and_no_other(early):
    for stray in ("epoch_0000_step_0064.png", "epoch_0099.png"):
        Image.new("L", (10, 10)).save(early.samples / stray)
    draw_training_gif(early)
    with Image.open(early.figures / "training.gif") as gif:
        assert gif.n_frames == 5  # untrained, twice in the first epoch, after each of two epochs
        gif.seek(4)
        assert gif.info["duration"] == 4000
