# %% [markdown]
# ### How good are the images? Compare two crowds, not two images
#
# No made image has a real counterpart to be compared with. So compare the two crowds: describe every image by a vector
# of features, and ask how far the two clouds of vectors are apart. The **Frechet distance** (Heusel et al. 2017,
# arXiv:1706.08500) takes each cloud for a Gaussian with mean $\mu$ and covariance $\Sigma$:
#
# $$d^2 = \lVert \mu_a - \mu_b \rVert^2 + \mathrm{tr}\left(\Sigma_a + \Sigma_b - 2 (\Sigma_a \Sigma_b)^{1/2}\right)$$
#
# It sees both blurred images (the mean moves) and missing variety (the covariance shrinks). The usual features come
# from a network trained on photographs, which says little about digits; here they come from a classifier of the same
# data. So the figure compares runs on one data set, never with a FID from elsewhere. The **floor**, the distance
# between two crowds of real images, gives it a scale.

# %%
"""The measures themselves, from features, probabilities and pixels; NumPy and SciPy only."""

import numpy as np
from scipy.linalg import sqrtm


def frechet_distance(a: np.ndarray, b: np.ndarray) -> float:
    """Return the squared Frechet distance between Gaussians fitted to two sets of features.

    Args:
        a: float [N, D], N at least 2.
        b: float [M, D], M at least 2.
    """
    a, b = a.astype(np.float64), b.astype(np.float64)
    ridge = 1e-6 * np.eye(a.shape[1])  # a feature that is never active would leave the product without a root
    covariance_a, covariance_b = np.cov(a, rowvar=False) + ridge, np.cov(b, rowvar=False) + ridge  # D D
    mean_term = np.sum((a.mean(axis=0) - b.mean(axis=0)) ** 2)
    root = sqrtm(covariance_a @ covariance_b)  # its imaginary part, if any, is rounding
    return float(mean_term + np.trace(covariance_a + covariance_b - 2 * root.real))


def classifier_score(probabilities: np.ndarray) -> float:
    """Return exp(mean KL(p(class | image) || p(class))), from 1 to K (the Inception score, Salimans et al. 2016).

    It is high if every image is clearly of one class and all classes are there; K is perfect.

    Args:
        probabilities: float [N, K], p(class | image) in each row.
    """
    p = np.clip(probabilities.astype(np.float64), 1e-12, 1)
    return float(np.exp(np.mean(np.sum(p * (np.log(p) - np.log(p.mean(axis=0))), axis=1))))


def class_shares(labels: np.ndarray, classes: int) -> np.ndarray:
    """Return the share of each class among labels int [N], float [K]; they sum to 1."""
    return np.bincount(labels, minlength=classes) / len(labels)


def classes_covered(made_shares: np.ndarray, real_shares: np.ndarray) -> int:
    """Return how many classes, of those that real images have, come at least a tenth as often as they should."""
    return int(np.sum((real_shares > 0) & (made_shares >= 0.1 * real_shares)))


def nearest(images: np.ndarray, others: np.ndarray, skip_itself: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Find the nearest of `others` to each image, by Euclidean distance in pixel values from 0 to 1.

    Args:
        images: uint8 [N, H, W, C].
        others: uint8 [M, H, W, C].
        skip_itself: the first N of `others` are `images`, and none of them is to find itself.

    Returns:
        The distances float32 [N], and which of `others` it is, int64 [N]. Of a single image that skips itself: 0.
    """
    if skip_itself and len(others) == 1:
        return np.zeros(1, np.float32), np.zeros(1, np.int64)
    a, b = (pixels.reshape(len(pixels), -1).astype(np.float32) / 255 for pixels in (images, others))  # N HWC, M HWC
    squares = (a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1)[None] - 2 * a @ b.T  # N M
    if skip_itself:
        np.fill_diagonal(squares, np.inf)
    return np.sqrt(np.maximum(squares.min(axis=1), 0)), squares.argmin(axis=1)
