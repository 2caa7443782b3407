import json
from types import SimpleNamespace

import numpy as np
import pytest

from common.errors import UserError
from examples.image_captioning import evaluate as measuring
from examples.image_captioning.config import Config, EvaluateOptions
from examples.image_captioning.demo import Caption, PhotoCaptioner
from examples.image_captioning.download.image_files import Photo
from examples.image_captioning.download.toy_scenes import SHAPES, Scene, Shape, make_scenes
from examples.image_captioning.evaluate import (
    evaluate,
    exact_match,
    mean_peak,
    photos_to_measure,
    pointing_on_photos,
    pointing_on_scenes,
)
from examples.image_captioning.metrics import pointing
from examples.image_captioning.metrics.pointing import COCO_CATEGORIES

SCENE = Scene([Shape("red", "circle", (0, 0, 16, 16)), Shape("blue", "square", (40, 0, 60, 20))], "left of")
PHOTO = Photo("x", SCENE.captions, "validation", SCENE)


def described(text, *cells):
    words = text.split()
    attention = np.full((len(words), 8, 8), 0.5 / 64, "float32")
    for number, (row, column) in enumerate(cells):
        attention[number, row, column] += 0.5
    return Caption(words, attention, -1.0)


def test_either_description_is_exact_and_others_are_not():
    texts = ["a red circle left of a blue square", "a blue square right of a red circle", "a red circle"]
    assert exact_match([described(text) for text in texts], [PHOTO] * 3) == pytest.approx(2 / 3)


def test_the_words_for_shapes_are_played():
    one = described("red circle square", (7, 7), (1, 1), (7, 0))
    results = {k: v for k, v in pointing_on_scenes([one], [PHOTO]).items() if "difficult" not in k}
    assert results.pop("pointing_error") == 0
    assert results == pytest.approx(
        {"pointing_words": 2, "pointing": 0.5, "pointing_chance": (256 + 400) / 2 / 64**2, "pointing_centre": 0},
        abs=0.01,
    )


def test_the_peak_is_that_of_words_that_name_things():
    assert mean_peak([described("a red circle", (0, 0), (0, 0), (0, 0))], SHAPES) == pytest.approx(32.5)
    assert mean_peak([described("a red")], SHAPES) is None
    captions = [described("dogs on a square", (0, 0))]
    assert mean_peak(captions, COCO_CATEGORIES) == pytest.approx(32.5) and mean_peak(captions, SHAPES) == 0.5


def test_it_measures_all_that_is_promised(trained):
    metrics = evaluate(EvaluateOptions(run=trained.path, split="test"))
    written = trained.read_evaluation()
    assert written.metrics == metrics and written.split == "test" and "free-running" in written.rule
    assert "uniform attention: mean over the words of beam captions that name a shape. exact_match" in written.rule
    names = {"bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider"}
    assert set(metrics["greedy"]) == set(metrics["beam"]) == names
    assert {"exact_match", "pointing", "pointing_chance", "pointing_centre", "attention_peak"} <= set(metrics)
    assert 0 < metrics["pointing_chance"] < 0.2


def test_the_photos_of_the_split_are_captioned_greedily_and_by_beam_search(trained, monkeypatch):
    seen, scenes = [], {"validation": SCENE, "test": make_scenes(1, 9, held_out=True)[0]}
    photos = [Photo(split, scene.captions, split, scene) for split, scene in scenes.items()]

    def caption(self, images, beam):
        seen.append((beam, np.array(images)))
        return [described("a")]

    monkeypatch.setattr(measuring, "photos_to_measure", lambda *_: photos)
    monkeypatch.setattr(PhotoCaptioner, "caption", caption)
    evaluate(EvaluateOptions(run=trained.path, split="test", write=False))
    assert [beam for beam, _ in seen] == [1, 3]
    assert all(np.array_equal(images, [scenes["test"].draw()]) for _, images in seen)


def test_features_are_kept_in_the_folder_that_is_named(trained, tmp_path, monkeypatch):
    folders = []
    monkeypatch.setattr(PhotoCaptioner, "load", lambda *_: SimpleNamespace(extractor=None))
    monkeypatch.setattr(measuring, "photos_to_measure", lambda *_: [PHOTO])
    monkeypatch.setattr(measuring, "load_split", lambda *arguments: folders.append(arguments[3]) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        evaluate(EvaluateOptions(run=trained.path, features_dir=tmp_path))
    assert folders == [tmp_path]


def test_a_peak_of_no_word_is_not_reported(trained, monkeypatch):
    monkeypatch.setattr(pointing, "category_of", lambda word, categories: None)
    metrics = evaluate(EvaluateOptions(run=trained.path, split="test", write=False))
    assert metrics["pointing_words"] == 0 and not {"attention_peak", "pointing", "pointing_error"} & set(metrics)


def test_other_data_is_refused(trained, album):
    with pytest.raises(UserError, match="not the data that .* was trained on .photos .* there, .* now; sha256"):
        evaluate(EvaluateOptions(run=trained.path, data=str(album)))


def test_photos_of_ones_own_are_measured_whole_or_their_test_part(trained, tmp_path):
    for folder, splits in (("parts", ["test", "train"]), ("whole", [None, None])):
        (tmp_path / folder).mkdir()
        entries = []
        for number, (split, scene) in enumerate(zip(splits * 2, make_scenes(4, 9, held_out=True), strict=True)):
            scene.draw().save(tmp_path / folder / f"{number}.png")
            entry = {"image": f"{number}.png", "captions": list(scene.captions)}
            entries.append(entry | ({"split": split} if split else {}))
        entries.append({"image": "gone.png", "captions": ["x"]} | ({"split": "test"} if splits[0] else {}))
        (tmp_path / folder / "captions.json").write_text(json.dumps(entries), encoding="utf-16-le")
    config, captioner = Config.from_settings(trained.read_config().settings), PhotoCaptioner.load(trained)
    for folder, names in (("parts", ["0.png", "2.png"]), ("whole", [f"{number}.png" for number in range(4)])):
        reading = {"test_data": str(tmp_path / folder), "encoding": "utf-16-le", "max_skipped": 0.4}
        options = EvaluateOptions(run=trained.path, **reading)
        measured = photos_to_measure(trained, config, captioner, options)
        assert [photo.name for photo in measured] == names
        assert {photo.split for photo in measured} == {"validation"}
    metrics = evaluate(options)
    written = json.loads(trained.test_data_evaluation.read_text())
    assert written["metrics"] == metrics and written["split"] == "test-data" and "exact_match" not in metrics
    assert f"test data {tmp_path}/whole" in written["rule"]


def test_other_data_is_refused_as_that_of_the_training(trained, album):
    match = "not the data that .* was trained on .*; name that with --data, or measure on this with --test-data"
    with pytest.raises(UserError, match=match):
        evaluate(EvaluateOptions(run=trained.path, data=str(album)))


def test_boxes_are_those_of_the_photos_beside_them_and_photos_that_cannot_be_read_are_left_out(tmp_path):
    asked = []

    def caption_file(path, beam):
        asked.append((path, beam))
        if path.name == "gone.jpg":
            raise UserError(f"{path}: gone")
        return None, described("dog", (0, 0))

    content = {
        "images": [
            {"id": n, "file_name": name, "width": 80, "height": 80} for n, name in enumerate(("a.jpg", "gone.jpg"))
        ],
        "categories": [{"id": 3, "name": "dog"}],
        "annotations": [{"image_id": n, "category_id": 3, "bbox": [0, 0, 9, 9]} for n in range(2)],
    }
    instances = tmp_path / "annotations" / "instances_val.json"
    instances.parent.mkdir()
    instances.write_text(json.dumps(content))
    results = pointing_on_photos(SimpleNamespace(caption_file=caption_file), instances)
    assert results["pointing_words"] == results["pointing"] == 1
    assert asked == [(tmp_path / "val" / name, 3) for name in ("a.jpg", "gone.jpg")]
    instances.write_text(json.dumps(content | {"images": content["images"][1:], "annotations": []}))
    with pytest.raises(UserError, match="val: no photo of instances_val.json can be read there .*gone"):
        pointing_on_photos(SimpleNamespace(caption_file=caption_file), instances)
