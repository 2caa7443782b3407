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


def test_in_colour_the_digit_differs_from_its_background():
    images, labels = draw_digits(20, seed=3, image_size=64, in_colour=True)
    assert images.shape == (20, 64, 64, 3) and images.dtype == np.uint8
    grey, grey_labels = draw_digits(20, seed=3, image_size=64)
    np.testing.assert_array_equal(labels, grey_labels)
    for image, white in zip(images.astype(int), grey, strict=True):
        digit, background = image[white == 255], image[white == 0]
        assert len(digit) and (digit == digit[0]).all() and (background == background[0]).all()
        assert np.abs(digit[0] - background[0]).max() > 100
    assert len(np.unique(images[:, 0, 0], axis=0)) > 10  # the backgrounds have many colours
