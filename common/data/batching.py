"""The order of training data: decided by seed and epoch alone, so that a resumed run finds the batches it missed."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

_SIDE_BY_SIDE = 2  # batches that are made at the same time


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return the order, int64 [count], in which `count` examples are seen in `epoch` (from 0), each of them once."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def length_buckets(lengths: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Return batches of sequences of like lengths, so that hardly anything is padded, in an order that tells nothing.

    Args:
        lengths: int [count], or [count, sides] for examples with several sequences; the last side counts first.
        batch_size: examples to a batch; one batch takes the rest.
        seed: with the epoch, decides which of the sequences of one length come together, and when.
        epoch: from 0.

    Returns:
        For each batch the numbers of its examples, int64; each example stands in one of them.
    """
    order = epoch_order(len(lengths), seed, epoch)
    sides = np.reshape(lengths, (len(lengths), -1)).T[:, order]  # sides count
    order = order[np.lexsort(sides)]  # stable: within one length the order stays random
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return [batches[number] for number in epoch_order(len(batches), seed, epoch)]


def quick_to_stop(data: tf.data.Dataset, ahead: int = 2) -> tf.data.Dataset:
    """Return the same batches, prepared `ahead` of their use, by an iterator that can be dropped at any moment.

    To tune how much is done side by side, tf.data keeps a thread for each iterator, which whoever drops the iterator
    waits for: up to a minute on a busy machine. Here nothing is left to tune.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.prefetch(ahead).with_options(options)


def batches_of(numbers: Sequence[np.ndarray], make_batch: Callable[[tf.Tensor], Any]) -> tf.data.Dataset:
    """Return a data set, of known length, of the batches that `make_batch` makes of the examples of these numbers.

    Args:
        numbers: for each batch the numbers of its examples, as from `length_buckets`.
        make_batch: maps numbers, int64 [B], to a batch; compiled.
    """
    ragged = tf.RaggedTensor.from_row_lengths(np.concatenate([*numbers, []]).astype("int64"), [*map(len, numbers)])
    return tf.data.Dataset.from_tensor_slices(ragged).map(make_batch, num_parallel_calls=_SIDE_BY_SIDE)
