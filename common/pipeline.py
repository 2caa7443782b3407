"""The order of training data: decided by seed and epoch alone, so that a resumed run finds the batches it missed."""

import numpy as np


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order, int64 [count], in which `count` examples are seen in `epoch` (from 0), each of them once."""
    return np.random.default_rng([seed, epoch]).permutation(count)
