import pytest

from examples.image_captioning.metrics.caption_metrics import compute_metrics

REFERENCES = [[["a", "dog", "runs", "on", "grass"], ["the", "dog", "is", "running"]], [["two", "men", "play", "chess"]]]


def test_a_perfect_caption_scores_one_and_a_strange_one_nothing():
    perfect = compute_metrics([references[0] for references in REFERENCES], REFERENCES)
    assert perfect["bleu_4"] == pytest.approx(1) and perfect["rouge_l"] == pytest.approx(1) and perfect["cider"] > 5
    assert max(compute_metrics([["x"], ["y"]], REFERENCES).values()) < 1e-3


def test_bleu_is_precision_times_brevity():
    scores = compute_metrics([["a", "dog", "runs"], ["two", "men", "play", "chess"]], REFERENCES)
    # 7 of 7 words right; 7 words against the closest references' 4 + 4
    assert scores["bleu_1"] == pytest.approx(2.718281828 ** (1 - 8 / 7), rel=1e-3)


def test_a_photo_without_a_reference_is_left_out():
    captions = [["a", "dog"], ["two", "men"]]
    assert compute_metrics([*captions, ["x"]], [*REFERENCES, []]) == compute_metrics(captions, REFERENCES)
