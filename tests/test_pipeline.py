import numpy as np

from common.pipeline import epoch_order


def test_every_example_comes_once_in_an_order_that_seed_and_epoch_decide():
    order = epoch_order(100, seed=1, epoch=0)
    assert sorted(order) == list(range(100))
    assert np.array_equal(order, epoch_order(100, seed=1, epoch=0))
    assert not np.array_equal(order, epoch_order(100, seed=1, epoch=1))
    assert not np.array_equal(order, epoch_order(100, seed=2, epoch=0))
