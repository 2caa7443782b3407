import numpy as np
import pytest
import tensorflow as tf

from common.data.batching import batches_of, epoch_order, length_buckets, pad_to_buckets, without_autotuning


def test_every_example_comes_once_in_an_order_that_seed_and_epoch_decide():
    order = epoch_order(100, seed=1, epoch=0)
    assert sorted(order) == list(range(100))
    assert np.array_equal(order, epoch_order(100, seed=1, epoch=0))
    assert not np.array_equal(order, epoch_order(100, seed=1, epoch=1))
    assert not np.array_equal(order, epoch_order(100, seed=2, epoch=0))


TARGETS = np.random.default_rng(5).integers(1, 20, size=1000)
LENGTHS = np.stack([TARGETS + np.random.default_rng(6).integers(0, 3, size=1000), TARGETS], axis=1)


def test_buckets_hold_every_example_once():
    buckets = length_buckets(LENGTHS, 64, seed=1, epoch=0)
    assert sorted(np.concatenate(buckets)) == list(range(1000))
    assert sorted(map(len, buckets)) == [1000 % 64] + [64] * (1000 // 64)


def test_buckets_hold_like_lengths_and_come_in_random_order():
    buckets = length_buckets(LENGTHS, 16, seed=1, epoch=0)
    padded = sum(len(bucket) * LENGTHS[bucket].max(axis=0).sum() for bucket in buckets)
    assert padded < 1.1 * LENGTHS.sum()  # batches at random: 1.8
    longest = [LENGTHS[bucket, -1].max() for bucket in buckets]
    assert abs(np.corrcoef(longest, range(len(longest)))[0, 1]) < 0.3


def test_buckets_are_the_same_whenever_asked_and_differ_from_epoch_to_epoch():
    def members(seed, epoch):
        return [list(bucket) for bucket in length_buckets(LENGTHS, 64, seed, epoch)]

    assert members(1, 0) == members(1, 0)
    unordered = [{frozenset(bucket) for bucket in members(*key)} for key in ((1, 0), (1, 1), (2, 0))]
    assert len(unordered[0] & unordered[1]) <= 1 and len(unordered[0] & unordered[2]) <= 1  # in other company


def test_one_list_of_lengths_is_enough():
    buckets = length_buckets(np.array([2, 1, 2, 1]), 2, seed=1, epoch=0)
    assert sorted(sorted(bucket) for bucket in buckets) == [[0, 2], [1, 3]]


def test_batches_are_made_of_their_numbers_and_skipping_finds_the_same_ones():
    numbers = [np.array([3, 1]), np.array([0, 2, 4])]
    dataset = batches_of(numbers, lambda batch: (batch, 10 * batch))
    assert int(dataset.cardinality()) == 2
    assert [[list(part) for part in batch] for batch in dataset.as_numpy_iterator()] == [
        [[3, 1], [30, 10]], [[0, 2, 4], [0, 20, 40]],
    ]  # fmt: skip
    [(late, _)] = dataset.skip(1).as_numpy_iterator()
    assert list(late) == [0, 2, 4]


def test_quick_to_stop_gives_the_same_batches():
    data = tf.data.Dataset.range(10).batch(3)
    batches, others = ([*map(list, each.as_numpy_iterator())] for each in (data, without_autotuning(data)))
    assert batches == others and len(batches) == 4


@pytest.mark.parametrize(("length", "bucket"), [(1, 8), (8, 8), (9, 16), (16, 16), (17, 32), (33, 64)])
def test_sequences_are_padded_to_few_lengths(length, bucket):
    source, target = np.ones((3, length), "int32"), np.ones((3, 2), "int32")
    spec = (tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None, None], tf.int32), tf.TensorSpec([None, 5]))
    data = tf.data.Dataset.from_generator(lambda: [(source, target, np.ones((3, 5), "float32"))], output_signature=spec)
    [(padded, other, features)] = pad_to_buckets(data)
    assert padded.shape == other.shape == (3, bucket) and features.shape == (3, 5)
    np.testing.assert_array_equal(padded[:, :length], source)
    assert not padded[:, length:].numpy().any() and other.numpy().sum() == target.sum()


def test_batches_of_known_lengths_are_left_alone():
    data = tf.data.Dataset.from_tensor_slices(np.ones((4, 3, 5), "float32")).batch(2)
    assert pad_to_buckets(data) is data
    [images] = pad_to_buckets(
        tf.data.Dataset.from_generator(lambda: [np.ones((2, 3))], output_signature=tf.TensorSpec([None, None]))
    )
    assert images.shape == (2, 8), "a batch that is no tuple"
