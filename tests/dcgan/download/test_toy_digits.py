import numpy as np

from examples.dcgan.download.toy_digits import IMAGE_SIZE, draw_digits


def test_the_same_seed_draws_the_same_digits_and_another_seed_others():
    images, labels = draw_digits(30, seed=1)
    assert images.shape == (30, IMAGE_SIZE, IMAGE_SIZE) and images.dtype == np.uint8
    assert np.bincount(labels).tolist() == [3] * 10
    again, labels_again = draw_digits(30, seed=1)
    np.testing.assert_array_equal(images, again)
    np.testing.assert_array_equal(labels, labels_again)
    assert not np.array_equal(images, draw_digits(30, seed=2)[0])


def test_every_digit_is_white_on_black():
    images, _ = draw_digits(20, seed=3)
    assert (images.max(axis=(1, 2)) > 200).all() and ((images == 0).mean(axis=(1, 2)) > 0.5).all()
