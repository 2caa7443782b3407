import numpy as np
import pytest

from examples.dcgan.fidelity import (
    class_shares,
    classes_covered,
    classifier_score,
    frechet_distance,
    nearest,
)

RANDOM = np.random.default_rng(0)


def features(count=400, shift=0.0):
    return RANDOM.normal(size=(count, 6)) @ RANDOM.normal(size=(6, 6)) + shift


def test_frechet_distance_of_a_crowd_to_itself_is_zero():
    a = features()
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-4)


def test_frechet_distance_of_a_shifted_crowd_is_the_square_of_the_shift():
    a = features()
    assert frechet_distance(a, a + np.array([3, 4, 0, 0, 0, 0])) == pytest.approx(25, abs=1e-3)


def test_frechet_distance_by_another_way_to_the_root():
    a, b = features(), features(300, shift=0.5)
    eigenvalues = np.linalg.eigvals(np.cov(a.T) @ np.cov(b.T)).real.clip(0)  # the root's trace is the sum of theirs
    expected = (
        np.sum((a.mean(0) - b.mean(0)) ** 2) + np.trace(np.cov(a.T) + np.cov(b.T)) - 2 * np.sqrt(eigenvalues).sum()
    )
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-4)


def test_a_feature_that_is_never_active_does_no_harm():
    a, b = (np.hstack([part, np.zeros((len(part), 1))]) for part in (features(), features()))
    assert frechet_distance(a, b) == pytest.approx(frechet_distance(a[:, :6], b[:, :6]), rel=1e-3)


def test_missing_variety_is_seen():
    a = features()
    assert frechet_distance(a, a[:1] + 0.01 * RANDOM.normal(size=a.shape)) > 1


def test_classifier_score_is_the_number_of_classes_at_best_and_one_at_worst():
    assert classifier_score(np.eye(10)) == pytest.approx(10, rel=1e-6)
    assert classifier_score(np.full((10, 10), 0.1)) == pytest.approx(1)  # cannot tell any image
    assert classifier_score(np.eye(10)[[3] * 10]) == pytest.approx(1)  # only ever one class


def test_shares_and_coverage():
    shares = class_shares(np.array([0, 0, 0, 2]), 4)
    assert shares.tolist() == [0.75, 0, 0.25, 0]
    assert classes_covered(shares, np.array([0.5, 0.25, 0.25, 0])) == 2


def test_nearest_equals_a_search_one_by_one():
    a, b = (RANDOM.integers(0, 256, size=(count, 3, 3, 2), dtype=np.uint8) for count in (5, 7))
    distances, which = nearest(a, b)
    for image, distance, index in zip(a, distances, which, strict=True):
        one_by_one = [np.linalg.norm((image / 255.0 - other / 255.0).ravel()) for other in b]
        assert distance == pytest.approx(min(one_by_one), rel=1e-4) and index == np.argmin(one_by_one)


def test_an_image_is_not_its_own_nearest():
    images = RANDOM.integers(0, 256, size=(6, 3, 3, 1), dtype=np.uint8)
    distances, which = nearest(images, images, skip_itself=True)
    assert (distances > 0).all() and (which != np.arange(6)).all()
    assert nearest(images[:1], images[:1], skip_itself=True)[0].tolist() == [0]
