"""The order of training data; it depends only on the seed and the epoch, so that a resume is exact."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

_PARALLEL_BATCHES = 2


def epoch_order(count: int, seed: int, epoch: int) -> np.ndarray:
    """Return a random order of `count` examples, int64 [count], for `epoch`, counted from 0."""
    return np.random.default_rng([seed, epoch]).permutation(count)


def length_buckets(lengths: np.ndarray, batch_size: int, seed: int, epoch: int) -> list[np.ndarray]:
    """Return batches of sequences of similar lengths, in random order; this minimises padding.

    Args:
        lengths: int [count], or [count, sides] for examples with several sequences; the last side is sorted first.
        batch_size: the number of examples per batch; one batch may be smaller.
        seed: the seed of the order within equal lengths and of the order of the batches.
        epoch: counted from 0; it also changes both orders.

    Returns:
        The indices of the examples of each batch, int64; each example is in exactly one batch.
    """
    order = epoch_order(len(lengths), seed, epoch)
    sides = np.reshape(lengths, (len(lengths), -1)).T[:, order]  # sides count
    order = order[np.lexsort(sides)]  # stable: within one length, the order stays random
    batches = [order[start : start + batch_size] for start in range(0, len(order), batch_size)]
    return [batches[index] for index in epoch_order(len(batches), seed, epoch)]


def without_autotuning(data: tf.data.Dataset, buffer_size: int = 2) -> tf.data.Dataset:
    """Return the same batches with a prefetch of `buffer_size` and without autotuning, so that a stop is immediate.

    To tune its parallelism, tf.data keeps a thread for each iterator. Deleting the iterator waits for that thread: up
    to a minute on a busy machine.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.prefetch(buffer_size).with_options(options)


def batches_of(indices: Sequence[np.ndarray], make_batch: Callable[[tf.Tensor], Any]) -> tf.data.Dataset:
    """Return a data set, of known length, of the batches that `make_batch` returns for the indices of each batch.

    Args:
        indices: the indices of the examples of each batch, as from `length_buckets`.
        make_batch: maps indices, int64 [B], to a batch; compiled.
    """
    ragged = tf.RaggedTensor.from_row_lengths(np.concatenate([*indices, []]).astype("int64"), [*map(len, indices)])
    return tf.data.Dataset.from_tensor_slices(ragged).map(make_batch, num_parallel_calls=_PARALLEL_BATCHES)
