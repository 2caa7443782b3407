r"""Metrics of generated images, from features, class probabilities and pixels.

A generated image has no real counterpart to be compared with. So two sets of images are compared: each image is
described by a feature vector, and the distance between the two distributions of feature vectors is measured. The
**Frechet distance** (Heusel et al. 2017, arXiv:1706.08500) fits a Gaussian with mean $\mu$ and covariance $\Sigma$ to
each set:

$$d^2 = \lVert \mu_a - \mu_b \rVert^2 + \mathrm{tr}\left(\Sigma_a + \Sigma_b - 2 (\Sigma_a \Sigma_b)^{1/2}\right)$$

Blurred images move the mean; missing variety shrinks the covariance. The usual features, those of a network trained on
photographs, describe digits poorly. Here they are the 128 of `classifier.FeatureClassifier`, trained on the same data.
So the figure compares runs on one data set; it cannot be compared with a FID from elsewhere. The **floor**, the
distance between two sets of real images, gives it a scale.
"""

import numpy as np
import tensorflow as tf
from scipy.linalg import sqrtm

from common.nn.replicas import batch_mean, sum_over_replicas


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the squared Frechet distance between Gaussians fitted to features float [N, D] and [M, D], two or more."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    ridge = 1e-6 * np.eye(a.shape[1])  # keeps the product regular if a feature is constant
    covariance_a, covariance_b = np.cov(a, rowvar=False) + ridge, np.cov(b, rowvar=False) + ridge  # D D
    mean_term = np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
    root = sqrtm(covariance_a @ covariance_b)  # an imaginary part is a rounding error
    return float(mean_term + np.trace(covariance_a + covariance_b - 2 * root.real))


def inception_score(probabilities: np.ndarray) -> float:
    """Return the Inception score, exp(mean KL(p(class | image) || p(class))), from 1 to K.

    Each row of `probabilities`, float [N, K], is p(class | image). The score is K if every image belongs clearly to
    one class and all classes are equally frequent. The classifier is one trained on this data instead of Inception, the
    deviation from Salimans et al. 2016 (arXiv:1606.03498).
    """
    p = np.clip(probabilities.astype(np.float64), 1e-12, 1)
    return float(np.exp(np.mean(np.sum(p * (np.log(p) - np.log(p.mean(axis=0))), axis=1))))


def classes_covered(generated: np.ndarray, real: np.ndarray) -> int:
    """Return how many classes have at least a tenth of their real frequency among generated images; both float [K]."""
    return int(np.sum((real > 0) & (generated >= 0.1 * real)))


# Diversity needs no classifier, so it is measured in every training step. It is the mean nearest-neighbour distance
# within a batch, generated images relative to real ones. If the generator collapses to a few modes, every image has a
# near duplicate in the batch, and diversity falls towards 0. The idea is that of the birthday test (Arora and Zhang
# 2017, arXiv:1706.08224).
def diversity(generated: tf.Tensor, real: tf.Tensor) -> tf.Tensor:
    """Return the mean nearest-neighbour distance within `generated`, relative to that within `real`; 1 is ideal.

    Both are float32 [B, H, W, C]. The scalar is 0 if all images of `real` are equal, and 1 for a single image, which
    has no neighbour. With several replicas it is this replica's share of the value, and neighbours are searched within
    its own images.
    """
    generated_distances, _ = nearest_neighbours(generated, generated, exclude_self=True)  # B
    real_distances, _ = nearest_neighbours(real, real, exclude_self=True)  # B
    ratio = tf.math.divide_no_nan(batch_mean(generated_distances), sum_over_replicas(batch_mean(real_distances)))
    is_single = sum_over_replicas(tf.size(real_distances)) == 1
    return tf.where(is_single, batch_mean(tf.ones_like(generated_distances)), ratio)


def nearest_neighbours(images: tf.Tensor, others: tf.Tensor, exclude_self: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the Euclidean distance from each image to the nearest of `others`, and the index of that neighbour.

    The squared distance is |a|^2 + |b|^2 - 2 a.b, so that one matrix product serves all pairs.

    Args:
        images: float32 [N, H, W, C].
        others: float32 [M, H, W, C].
        exclude_self: the first N of `others` are `images`, and no image is its own neighbour.

    Returns:
        Distances float32 [N] and indices int64 [N]; distance 0 where `others` contains no other image.
    """
    a = tf.reshape(images, [tf.shape(images)[0], -1])  # N HWC
    b = tf.reshape(others, [tf.shape(others)[0], -1])  # M HWC
    squares_a, squares_b = tf.reduce_sum(a**2, axis=1), tf.reduce_sum(b**2, axis=1)  # N, M
    squares = squares_a[:, None] + squares_b[None] - 2 * tf.matmul(a, b, transpose_b=True)  # N M
    if exclude_self:
        squares = tf.linalg.set_diag(squares, tf.fill(tf.shape(squares_a), np.inf))  # N M
    nearest = tf.reduce_min(squares, axis=1)  # N
    nearest = tf.where(tf.math.is_inf(nearest), 0.0, tf.maximum(nearest, 0.0))  # N
    return tf.sqrt(nearest), tf.argmin(squares, axis=1)
