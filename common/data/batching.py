"""The order of training data; it depends only on the seed and the epoch, so that a resume is exact."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

_PARALLEL_BATCHES = 2
_SHORTEST = 8  # the shortest length that sequences are padded to


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


def without_autotuning(data: tf.data.Dataset) -> tf.data.Dataset:
    """Return the same batches, two of them prefetched, without autotuning, so that a stop is immediate.

    To tune its parallelism, tf.data keeps a thread for each iterator. Deleting the iterator waits for that thread: up
    to a minute on a busy machine.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    return data.prefetch(2).with_options(options)


def batches_of(indices: Sequence[np.ndarray], make_batch: Callable[[tf.Tensor], Any]) -> tf.data.Dataset:
    """Return a data set, of known length, of the batches that `make_batch` returns for the indices of each batch.

    `make_batch` maps indices, int64 [B], such as those from `length_buckets`, to a batch. It is compiled.
    """
    ragged = tf.RaggedTensor.from_row_lengths(np.concatenate([*indices, []]).astype("int64"), [*map(len, indices)])
    return tf.data.Dataset.from_tensor_slices(ragged).map(make_batch, num_parallel_calls=_PARALLEL_BATCHES)


def pad_to_buckets(data: tf.data.Dataset) -> tf.data.Dataset:
    """Return the batches with sequences padded by zeros to one of few lengths: `_SHORTEST` times a power of two.

    All axes of unknown length but the first, the batch, are padded to the same length. So zeros must mean padding: the
    id of the padding token, and False in a mask.
    """
    spec = tf.nest.flatten(data.element_spec)
    if all(length is not None for tensor in spec for length in tensor.shape[1:]):
        return data

    def pad(*batch):
        tensors = tf.nest.flatten(batch)
        lengths = [
            tf.shape(tensor)[axis]
            for tensor in tensors
            for axis in range(1, tensor.shape.rank or 0)
            if tensor.shape[axis] is None
        ]
        doublings = tf.math.ceil(
            tf.math.log(tf.reduce_max(lengths) / _SHORTEST) / tf.math.log(tf.constant(2.0, tf.float64))
        )
        bucket = _SHORTEST * 2 ** tf.maximum(tf.cast(doublings, tf.int32), 0)
        padded = tf.nest.pack_sequence_as(batch, [_pad_axes(tensor, bucket) for tensor in tensors])
        return padded if len(batch) > 1 else padded[0]

    return data.map(pad, num_parallel_calls=_PARALLEL_BATCHES)


def _pad_axes(tensor: tf.Tensor, length: tf.Tensor) -> tf.Tensor:
    """Return `tensor` with every axis of unknown length but the first padded by zeros to `length`."""
    paddings = [
        [0, length - tf.shape(tensor)[axis]] if axis and tensor.shape[axis] is None else [0, 0]
        for axis in range(tensor.shape.rank)
    ]
    padded = tf.pad(tensor, paddings) if paddings else tensor
    padded.set_shape(tensor.shape)
    return padded
