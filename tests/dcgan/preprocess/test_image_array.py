import errno
import hashlib
import os

import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from examples.dcgan.data import load_images, training_batches
from examples.dcgan.evaluate import _nearest
from examples.dcgan.preprocess import image_array
from examples.dcgan.preprocess.image_array import pack_images, sha256_of


def pictures(count, colour):
    draw = np.random.default_rng(3)
    return [draw.integers(0, 256, [9, 12, 3] if colour else [9, 12], np.uint8) for _ in range(count)]


@pytest.fixture
def on_disk(monkeypatch):
    monkeypatch.setattr(image_array, "MAX_BYTES_IN_MEMORY", 100)


@pytest.mark.parametrize(("colour", "channels", "expected"), [(0, None, 1), (1, None, 3), (0, 3, 3), (1, 1, 1)])
def test_on_the_disk_the_images_are_those_in_memory(colour, channels, expected, monkeypatch):
    arrays = []
    for limit in (1 << 20, 100):
        monkeypatch.setattr(image_array, "MAX_BYTES_IN_MEMORY", limit)
        arrays.append(pack_images(iter(pictures(7, colour)), 9, (8, 10), channels))
    in_memory, on_disk = arrays
    assert isinstance(on_disk, np.memmap) and not isinstance(in_memory, np.memmap)
    assert in_memory.shape == (7, 8, 10, expected) and np.array_equal(in_memory, on_disk)
    assert sha256_of(on_disk) == sha256_of(in_memory) == hashlib.sha256(in_memory.tobytes()).hexdigest()
    for one, other in zip(*(training_batches(array, 3, 1, 0) for array in arrays), strict=True):
        assert np.array_equal(one, other) and one.shape[1:] == other.shape[1:] == in_memory.shape[1:]


def test_nothing_of_it_stays_on_the_disk(on_disk, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    images = pack_images(pictures(5, True), 5, (8, 8), None)
    assert isinstance(images, np.memmap) and not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_full_disk_is_one_line(on_disk, monkeypatch):
    def refuse(descriptor, offset, size):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", refuse, raising=False)
    with pytest.raises(UserError, match=r"no room for 0 MB of pictures \(No space left on device\); free some space"):
        pack_images(pictures(5, True), 5, (8, 8), None)


def test_a_folder_of_many_pictures_is_the_same_data_set(tmp_path, monkeypatch):
    for number, pixels in enumerate(pictures(12, True)):
        Image.fromarray(pixels).save(tmp_path / f"{number:02d}.png")
    expected = load_images(str(tmp_path), 8)
    monkeypatch.setattr(image_array, "MAX_BYTES_IN_MEMORY", 100)
    found = load_images(str(tmp_path), 8)
    assert found.fingerprint == expected.fingerprint and isinstance(found.train, np.memmap)


def test_neighbours_in_blocks_are_those_of_all_at_once(monkeypatch):
    draw = np.random.default_rng(5)
    images, others = (draw.integers(0, 256, [count, 8, 8, 1], np.uint8) for count in (6, 50))
    everything = np.concatenate([images, others])
    order = np.arange(len(everything))
    expected = _nearest(images, others), _nearest(images, everything, order)
    monkeypatch.setattr("examples.dcgan.evaluate._BLOCK_BYTES", 7 * 4 * images[0].size)
    for (distances, indices), others_, own in zip(expected, (others, everything), (None, order), strict=True):
        found = _nearest(images, others_, own)
        np.testing.assert_allclose(found[0], distances, rtol=1e-5)
        assert np.array_equal(found[1], indices)
    brute = [np.linalg.norm(others.astype(float) - image, axis=(1, 2)).min() / 255 for image in images.astype(float)]
    np.testing.assert_allclose(expected[0][0], np.ravel(brute), rtol=1e-4)
