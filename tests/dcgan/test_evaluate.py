import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from common.training.run_directory import RunDirectory
from examples.dcgan import evaluate as measuring
from examples.dcgan.config import PRESETS, EvaluateOptions
from examples.dcgan.data import ImageSet
from examples.dcgan.evaluate import draw_neighbours, evaluate, measure_classes, measure_neighbours, with_test_images
from examples.dcgan.train import train
from tests.dcgan.tiny import SETTINGS


def test_real_images_pass_and_spoilt_ones_do_not(tiny_images, feature_classifier, tmp_path):
    def measured(images):
        return measure_classes(images, tiny_images, feature_classifier, tmp_path / "classes.png")[0]

    real, noise = tiny_images.train[:1000], np.random.default_rng(0).integers(0, 256, (1000, 28, 28, 1), np.uint8)
    ones = np.repeat(tiny_images.train[tiny_images.train_labels == 1][:1], 1000, axis=0)
    passed, failed, collapsed = measured(real), measured(noise), measured(ones)
    assert passed["frechet_distance"] < 2 * passed["frechet_floor"] < failed["frechet_distance"] / 10
    assert measured(tiny_images.held_out)["frechet_distance"] < passed["frechet_floor"] / 10
    assert passed["classes_covered"] == 10 and passed["inception_score"] > 9
    assert sum(passed["class_frequencies"].values()) == pytest.approx(1)
    assert collapsed["classes_covered"] == 1 and collapsed["inception_score"] == pytest.approx(1, abs=1e-3)
    assert collapsed["frechet_distance"] > 10 * passed["frechet_floor"]
    assert collapsed["inception_score_of_real"] == passed["inception_score_of_real"] > 9


def test_the_bars_of_each_class_have_the_name_of_their_images(tmp_path, monkeypatch):
    def features(images):
        return np.random.default_rng(0).normal(size=(len(images), 4)), np.eye(3)[images[:, 0, 0, 0]]

    drawn, zeros = [], np.zeros((20, 2, 2, 1), np.uint8)
    monkeypatch.setattr(measuring, "save_figure", lambda figure, path: drawn.append(figure))
    twos = ImageSet(zeros + 2, np.full(20, 2), zeros + 2, np.full(20, 2), {})
    classifier = SimpleNamespace(features=features, accuracy=1.0, sha256="0" * 64)
    measure_classes(zeros, twos, classifier, tmp_path / "classes.png")
    bars = {each.get_label(): [bar.get_height() for bar in each] for each in drawn[0].axes[0].containers}
    assert bars == {"generated": [100, 0, 0], "real": [0, 0, 100]}


def test_near_duplicates_and_copies_are_found_without_labels(tiny_images, tmp_path):
    def measured(images):
        return measure_neighbours(images, tiny_images, tmp_path / "nearest.png")[0]

    assert measured(tiny_images.held_out) == {"diversity": pytest.approx(1), "novelty": pytest.approx(1)}
    copies = measured(tiny_images.train[:1000])
    assert copies["novelty"] == 0 and copies["diversity"] == pytest.approx(1, abs=0.1)
    assert measured(np.repeat(tiny_images.held_out[:5], 200, axis=0))["diversity"] == pytest.approx(0, abs=1e-3)


def test_below_each_image_the_training_image_nearest_to_it_is_drawn(tiny_images, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(measuring, "draw_neighbours", lambda *arguments: drawn.append(arguments))
    measure_neighbours(tiny_images.train[20:60], tiny_images, tmp_path / "nearest.png")
    [(copies, nearest, _)] = drawn
    assert len(copies) == 12 and np.array_equal(copies, nearest)


def test_the_picture_has_the_generated_images_above_as_its_title_says(tmp_path):
    generated, training = (np.full((12, 28, 28, 1), shade, np.uint8) for shade in (0, 200))
    draw_neighbours(generated, training, tmp_path / "nearest.png")
    picture = np.asarray(Image.open(tmp_path / "nearest.png").convert("L"))[34:]  # below the title
    above, below = (np.nonzero((picture == shade).any(axis=1))[0] for shade in (0, 200))
    assert 0 < len(above) == len(below) and above.max() < below.min()


def test_the_order_of_the_pictures_does_not_matter(tiny_images, feature_classifier):
    order = np.argsort(tiny_images.held_out_labels, kind="stable")  # as in a folder with a folder for each class
    by_class = replace(
        tiny_images, held_out=tiny_images.held_out[order], held_out_labels=tiny_images.held_out_labels[order]
    )
    metrics, _ = measure_classes(tiny_images.train[:200], by_class, feature_classifier, None)
    assert metrics["classes_covered"] == 10 and metrics["inception_score_of_real"] > 8

    noise = np.random.default_rng(0).integers(0, 256, (100, 28, 28, 1), np.uint8)
    halves = np.concatenate([np.zeros_like(noise), noise])
    metrics, _ = measure_neighbours(noise, replace(tiny_images, train=halves, held_out=None), None)
    assert 1 < metrics["diversity"] < 3  # about half of the real images are equal
    assert metrics["novelty"] == 0


def test_an_image_among_others_is_not_its_own_neighbour(tiny_images):
    images, order = tiny_images.train[:60], np.random.default_rng(0).permutation(60)
    distances, indices = measuring._nearest(images[order[:20]], images, order)
    flat = images.reshape(60, -1) / 255
    every = np.linalg.norm(flat[:, None] - flat[None], axis=-1) + np.diag([np.inf] * 60)
    np.testing.assert_allclose(distances, every.min(axis=1)[order[:20]], rtol=1e-4)
    np.testing.assert_array_equal(indices, every.argmin(axis=1)[order[:20]])


def test_large_pictures_are_searched_in_small_blocks(tiny_images, monkeypatch):
    images, counts = tiny_images.train[:50], []

    def search(near, others, exclude_self, search=measuring.nearest_neighbours):
        counts.append(len(others))
        return search(near, others, exclude_self)

    monkeypatch.setattr(measuring, "nearest_neighbours", search)
    found = []
    for size in (1 << 28, 60 * images[0].nbytes * 4, 1):
        monkeypatch.setattr(measuring, "_BLOCK_BYTES", size)
        found.append(measuring._nearest(images, tiny_images.train[:120], np.arange(120)))
    assert counts == [120, 60, 60, 50, 50, 20]
    for distances, indices in found[1:]:
        np.testing.assert_allclose(distances, found[0][0], rtol=1e-4)
        assert (indices == found[0][1]).all()


def test_evaluation_is_written_with_its_rule(trained, feature_classifier):
    metrics = evaluate(EvaluateOptions(run=trained.path, samples=200))
    entry = trained.read_evaluation()
    assert entry.metrics == metrics and entry.split == "held-out"
    assert "200 generated against 200 held-out" in entry.rule and feature_classifier.sha256[:12] in entry.rule
    assert {"frechet_distance", "frechet_floor", "inception_score", "classes_covered", "class_frequencies"} <= set(
        metrics
    )
    assert (trained.figures / "classes.png").exists() and (trained.figures / "nearest.png").exists()


def test_without_labels_the_rule_says_what_is_left_out(tmp_path, tiny_images):
    (tmp_path / "mine").mkdir()
    for number, pixels in enumerate(tiny_images.train[:30, ..., 0]):
        Image.fromarray(pixels).save(tmp_path / "mine" / f"{number:02d}.png")
    settings = SETTINGS | {"data": str(tmp_path / "mine"), "run_dir": tmp_path / "run", "epochs": 1, "image_size": 16}
    run = RunDirectory(train(replace(PRESETS["tiny"], **settings)).path)
    assert set(evaluate(EvaluateOptions(run=run.path))) == {"diversity", "novelty"}
    entry = run.read_evaluation()
    assert entry.rule.startswith("no labels") and entry.split == "training"


def test_other_images_than_those_of_training_are_refused(trained, tmp_path):
    Image.new("L", (28, 28)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match="not the data that .* was trained on"):
        evaluate(EvaluateOptions(run=trained.path, data=str(tmp_path)))


def test_a_moved_run_can_be_measured(trained, tmp_path):
    moved = RunDirectory(shutil.copytree(trained.path, tmp_path / "elsewhere"))
    assert evaluate(EvaluateOptions(run=moved.path, samples=50))["frechet_floor"] > 0


def test_of_a_data_set_with_held_out_images_only_those_are_measured(trained, tiny_images):
    options = EvaluateOptions(run=trained.path, test_data="tiny")
    other = with_test_images(replace(tiny_images, held_out=None), options, 0.1)
    assert (other.held_out == tiny_images.held_out).all() and len(other.held_out_labels) == len(other.held_out)


def test_a_single_test_picture_is_refused(trained, tiny_images, tmp_path):
    Image.new("L", (28, 28)).save(tmp_path / "a.png")
    with pytest.raises(UserError, match=f"--test-data {tmp_path}: a single picture"):
        with_test_images(tiny_images, EvaluateOptions(run=trained.path, test_data=str(tmp_path)), 0.1)


def test_a_run_on_a_single_picture_has_nothing_to_compare_with(trained, tiny_images, monkeypatch):
    single = replace(tiny_images, train=tiny_images.train[:1], train_labels=None, held_out=None, held_out_labels=None)
    monkeypatch.setattr(measuring, "load_images", lambda *_: single)
    monkeypatch.setattr(RunDirectory, "require_training_data", lambda *_: None)
    with pytest.raises(UserError, match="trained on a single picture; name others with --test-data"):
        evaluate(EvaluateOptions(run=trained.path))


def test_of_labels_that_the_classifier_does_not_know_its_own_are_taken(tiny_images, feature_classifier):
    images = [replace(tiny_images, held_out_labels=labels) for labels in (None, tiny_images.held_out_labels + 5)]
    without, unknown = (measure_classes(tiny_images.train[:100], one, feature_classifier, None)[0] for one in images)
    assert unknown == without


def test_generated_images_are_compared_with_pictures_of_ones_own(trained, tiny_images, feature_classifier, tmp_path):
    (tmp_path / "mine").mkdir()
    for number, pixels in enumerate(tiny_images.held_out[:200]):
        Image.fromarray(pixels[..., 0]).resize((56, 56)).save(tmp_path / "mine" / f"{number}.png")
    before = trained.evaluation.read_bytes() if trained.evaluation.exists() else None
    for number in range(40):
        (tmp_path / "mine" / f"broken_{number}.png").write_bytes(b"")
    options = EvaluateOptions(run=trained.path, test_data=str(tmp_path / "mine"))
    with pytest.raises(UserError, match="raise --max-skipped"):
        evaluate(options)
    metrics = evaluate(replace(options, max_skipped=0.2))
    written = json.loads(trained.test_data_evaluation.read_text())
    assert written["metrics"] == metrics and "200 generated against 200" in written["rule"]
    assert sum(metrics["class_frequencies"].values()) == pytest.approx(1) and metrics["frechet_distance"] > 0
    assert (trained.figures / "test_data_classes.png").exists()
    assert before == (trained.evaluation.read_bytes() if trained.evaluation.exists() else None)
