"""Arithmetic over the replicas of a model: the devices that each train it on a part of every batch.

A replica computes its share of a batch's loss: the sum over its own examples, divided by the number of all. The shares
of all replicas add up to the loss of the whole batch, and so do their gradients. Without a `tf.distribute` strategy
there is one replica, which has the whole batch; then these functions return what plain arithmetic returns.
"""

import keras
import tensorflow as tf


def replica_count() -> int:
    """Return how many replicas train together."""
    return tf.distribute.get_strategy().num_replicas_in_sync


def replica_index() -> tf.Tensor | int:
    """Return the number of the replica that runs this code, from 0; 0 outside of a replica."""
    context = tf.distribute.get_replica_context()
    return context.replica_id_in_sync_group if context and replica_count() > 1 else 0


def sum_over_replicas(tensors):
    """Return the sum of a tensor, or of each tensor of a nested structure of one dtype, over all replicas."""
    context = tf.distribute.get_replica_context()
    if replica_count() == 1 or context is None:
        return tensors
    return context.all_reduce(tf.distribute.ReduceOp.SUM, tensors)


def batch_mean(values: tf.Tensor) -> tf.Tensor:
    """Return this replica's share, a scalar, of the mean of `values` [B, ...] over the examples of all replicas."""
    count = sum_over_replicas(tf.size(values))
    return tf.reduce_sum(values) / tf.cast(count, values.dtype)


def rows_of_replica(tensor: tf.Tensor, replica: tf.Tensor | int) -> tf.Tensor:
    """Return the rows of a tensor of all rows, [B, ...], that the replica of this number has.

    The replicas have consecutive rows, and their numbers of rows differ by one at most.
    """
    count, replicas = tf.shape(tensor)[0], replica_count()
    return tensor[count * replica // replicas : count * (replica + 1) // replicas]


def take_rows(tensor: tf.Tensor) -> tf.Tensor:
    """Return this replica's rows of a tensor of all rows, [B, ...]."""
    return tensor if replica_count() == 1 else rows_of_replica(tensor, replica_index())


def gather_rows(tensor: tf.Tensor) -> tf.Tensor:
    """Return the rows of all replicas, in their order, from the rows of each: the inverse of `take_rows`."""
    context = tf.distribute.get_replica_context()
    return tensor if replica_count() == 1 else context.all_gather(tensor, axis=0)


def normal_rows(rows: tf.Tensor, width: int, seed: keras.random.SeedGenerator) -> tf.Tensor:
    """Return values of N(0, 1), float32 [rows, width], the same for an example however many replicas there are."""
    return take_rows(keras.random.normal([sum_over_replicas(rows), width], seed=seed))
