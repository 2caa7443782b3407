import numpy as np
import pytest

from common.errors import UserError
from examples.image_captioning.config import EvaluateOptions
from examples.image_captioning.demo import Caption
from examples.image_captioning.download.image_files import Photo
from examples.image_captioning.download.toy_scenes import Scene, Shape
from examples.image_captioning.evaluate import evaluate, exact_match, mean_peak, pointing_on_scenes

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
    assert results.pop("pointing_overlap") == 0.5 and results.pop("pointing_error") == 0
    assert results == pytest.approx(
        {"pointing_words": 2, "pointing": 0.5, "pointing_chance": (256 + 400) / 2 / 64**2, "pointing_centre": 0},
        abs=0.01,
    )


def test_the_peak_is_that_of_words_that_name_things():
    assert mean_peak([described("a red circle", (0, 0), (0, 0), (0, 0))]) == pytest.approx(32.5)
    assert mean_peak([described("a red")]) == 0


def test_it_measures_all_that_is_promised(trained):
    metrics = evaluate(EvaluateOptions(run=trained.path, split="test"))
    written = trained.read_evaluation()
    assert written.metrics == metrics and written.split == "test" and "free-running" in written.rule
    names = {"bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider"}
    assert set(metrics["greedy"]) == set(metrics["beam"]) == names
    assert {"exact_match", "pointing", "pointing_chance", "pointing_centre", "attention_peak"} <= set(metrics)
    assert 0 < metrics["pointing_chance"] < 0.2


def test_other_data_is_refused(trained, album):
    with pytest.raises(UserError, match="not the data that"):
        evaluate(EvaluateOptions(run=trained.path, data=str(album)))
