import numpy as np
import pytest
import tensorflow as tf

from examples.dcgan.metrics.sample_metrics import (
    classes_covered,
    diversity,
    frechet_distance,
    inception_score,
    nearest_neighbours,
)

RANDOM = np.random.default_rng(0)


def features(count=400, shift=0.0):
    return RANDOM.normal(size=(count, 6)) @ RANDOM.normal(size=(6, 6)) + shift


def test_frechet_distance_of_a_set_to_itself_is_zero():
    a = features()
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-4)


def test_frechet_distance_of_a_shifted_set_is_the_square_of_the_shift():
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


def test_inception_score_is_the_number_of_classes_at_best_and_one_at_worst():
    assert inception_score(np.eye(10)) == pytest.approx(10, rel=1e-6)
    assert inception_score(np.full((10, 10), 0.1)) == pytest.approx(1)  # cannot tell any image
    assert inception_score(np.eye(10)[[3] * 10]) == pytest.approx(1)  # only ever one class


def test_classes_are_covered_by_a_tenth_of_their_frequency():
    assert classes_covered(np.array([0.75, 0, 0.25, 0]), np.array([0.5, 0.25, 0.25, 0])) == 2


def images(count, channels=2, seed=0):
    return tf.random.stateless_uniform([count, 3, 3, channels], [seed, 0], -1, 1)


def one_by_one(batch, others, exclude_self=False):
    """Return the distances from each image to each other one, each by its own subtraction."""
    flat, other = (pixels.numpy().reshape(len(pixels), -1).astype(np.float64) for pixels in (batch, others))
    distances = np.linalg.norm(flat[:, None] - other[None], axis=-1)
    if exclude_self:
        np.fill_diagonal(distances, np.inf)
    return distances


@pytest.mark.parametrize("exclude_self", [False, True])
@pytest.mark.parametrize("count", [2, 5])
def test_nearest_neighbours_equal_a_search_one_by_one(count, exclude_self):
    others = images(7)
    batch = others[:count] if exclude_self else images(count, seed=1)
    distances, indices = nearest_neighbours(batch, others, exclude_self)
    expected = one_by_one(batch, others, exclude_self)
    np.testing.assert_allclose(distances, expected.min(axis=1), rtol=1e-4)
    np.testing.assert_array_equal(indices, expected.argmin(axis=1))


def test_an_image_is_not_its_own_neighbour():
    pair = images(2)
    distances, indices = nearest_neighbours(pair, pair, exclude_self=True)
    assert (distances.numpy() > 0).all() and indices.numpy().tolist() == [1, 0]
    assert nearest_neighbours(pair, pair)[1].numpy().tolist() == [0, 1]
    assert nearest_neighbours(pair[:1], pair[:1], exclude_self=True)[0].numpy().tolist() == [0]


def test_diversity_equals_a_search_one_by_one():
    generated, real = images(7, seed=1), images(9, seed=2)
    expected = (one_by_one(batch, batch, exclude_self=True).min(axis=1).mean() for batch in (generated, real))
    assert float(diversity(generated, real)) == pytest.approx(next(expected) / next(expected), rel=1e-4)


def test_diversity_is_zero_when_few_images_repeat():
    real = images(8)
    assert float(diversity(tf.repeat(real[:2], 4, axis=0), real)) == pytest.approx(0, abs=1e-3)
    assert float(diversity(real[::-1], real)) == pytest.approx(1)
    assert float(diversity(real[:1], real[:1])) == 1  # a single image has no neighbour
