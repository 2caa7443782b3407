import gzip
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from common.data import tfds as tfds_data
from common.errors import UserError
from examples.dcgan import data
from examples.dcgan.config import parse_size
from examples.dcgan.data import load_images, read_folder, read_idx, to_bytes, to_unit_range, training_batches


def idx(array, magic=None):
    header = magic or bytes([0, 0, 8, array.ndim])
    return gzip.compress(header + np.array(array.shape, ">u4").tobytes() + array.tobytes())


def written(path, content):
    path.write_bytes(content)
    return path


def test_idx_files_are_read_as_published(tmp_path):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    np.testing.assert_array_equal(read_idx(written(tmp_path / "a.gz", idx(array))), array)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no gzip",
        idx(np.zeros(3, np.uint8))[:-9],
        gzip.compress(b"\0\0"),
        idx(np.zeros(3, np.uint8), b"\0\0\x0d\1"),
    ],
    ids=["empty", "no gzip", "cut", "short", "floats"],
)
def test_what_is_no_idx_file_is_named(tmp_path, content):
    with pytest.raises(UserError, match="a.gz: .*delete it"):
        read_idx(written(tmp_path / "a.gz", content))


def test_mnist_comes_from_four_files(tmp_path, monkeypatch):
    random = np.random.default_rng(0)
    arrays = [random.integers(0, 256, shape, dtype=np.uint8) for shape in ((5, 28, 28), (5,), (3, 28, 28), (3,))]
    files = [written(tmp_path / str(number), idx(array)) for number, array in enumerate(arrays)]
    monkeypatch.setattr(data, "fetch", lambda resource, data_dir: files[data.MNIST.index(resource)])
    images = load_images("mnist")
    np.testing.assert_array_equal(images.train[..., 0], arrays[0])
    np.testing.assert_array_equal(images.held_out_labels, arrays[3])
    assert load_images("mnist", image_size=32, channels=3).train.shape == (5, 32, 32, 3)


def test_tiny_digits_are_the_same_every_time(tiny_images):
    assert tiny_images.train.shape == (2000, 28, 28, 1) and tiny_images.held_out.shape == (1000, 28, 28, 1)
    assert np.bincount(tiny_images.train_labels).tolist() == [200] * 10
    assert tiny_images.fingerprint == load_images("tiny").fingerprint
    assert not (tiny_images.train[:1000] == tiny_images.held_out).all(axis=(1, 2, 3)).any()


def picture(folder, name, mode="RGB", size=(20, 12), colour="red"):
    (folder / name).parent.mkdir(exist_ok=True)
    Image.new(mode, size, colour).save(folder / name)


def test_a_folder_of_mixed_pictures_becomes_one_array(tmp_path):
    for name, mode in [("a.png", "RGB"), ("b.jpg", "L"), ("c.webp", "RGBA"), ("d.gif", "P"), ("sub/e.bmp", "RGB")]:
        picture(tmp_path, name, mode, colour=None if mode == "P" else "white")
    images = load_images(str(tmp_path), image_size=16)
    assert images.train.shape == (5, 16, 16, 3) and images.train_labels is None and images.held_out is None
    assert load_images(str(tmp_path), channels=1).train.shape == (5, 64, 64, 1)


def test_a_folder_of_grey_pictures_stays_grey(tmp_path):
    picture(tmp_path, "a.png", "L", colour=7)
    assert load_images(str(tmp_path)).train.shape == (1, 64, 64, 1)


def test_broken_pictures_are_named_and_left_out(tmp_path, capsys):
    for number in range(40):
        picture(tmp_path, f"{number:02d}.png")
    for name, content in [
        ("empty.png", b""),
        ("page.png", b"<html>"),
        ("cut.png", (tmp_path / "00.png").read_bytes()[:50]),
    ]:
        written(tmp_path / name, content)
    written(tmp_path / "notes.md", b"x")
    assert len(read_folder(tmp_path, (8, 8), None, 0.1)) == 40
    others, left_out = capsys.readouterr().err.splitlines()
    assert left_out.startswith("left out: 3 of 43 pictures")
    assert all(name in left_out for name in ("cut.png", "empty.png", "page.png"))
    assert others == f"note: left out of {tmp_path} because they are no pictures (1): notes.md"


def test_pictures_need_not_be_squares(tmp_path):
    picture(tmp_path, "a.png")
    images = load_images(str(tmp_path), "16x24")
    assert images.train.shape == (1, 16, 24, 3) and images.fingerprint["image_size"] == "16x24"
    assert load_images(str(tmp_path), "16").fingerprint["image_size"] == 16


@pytest.mark.parametrize("size", ["0", "7", "513", "16x", "x", "16x24x3", "8x40", "-8", "²8", "big"])
def test_a_size_that_is_none_is_an_error(size):
    with pytest.raises(UserError, match="--image-size: expected"):
        parse_size(size)


@pytest.mark.parametrize("name", ["a.jfif", "a.TIF", "a.tiff", "a.webp", "a.bmp", "a.JPG", "class/a.gif"])
def test_pictures_of_every_common_format_are_read(tmp_path, name):
    (tmp_path / "class").mkdir()
    form = {".jfif": "JPEG", ".jpg": "JPEG", ".tif": "TIFF"}.get(Path(name).suffix.lower(), Path(name).suffix[1:])
    Image.new("RGB", (20, 20), "red").save(tmp_path / name, form)
    images = load_images(str(tmp_path), 8)
    assert np.abs(images.train[0, 4, 4] - [255.0, 0, 0]).max() < 5


def test_a_folder_without_good_pictures_is_an_error(tmp_path):
    with pytest.raises(UserError, match="expected a folder of PNG.*, got 0 such files"):
        load_images(str(tmp_path))
    written(tmp_path / "a.png", b"")
    with pytest.raises(
        UserError, match="got 1 such files, 1 of them unreadable; the first: .*a.png: the file is empty"
    ):
        load_images(str(tmp_path))


def test_a_folder_with_too_many_broken_pictures_is_an_error(tmp_path):
    for number in range(10):
        picture(tmp_path, f"{number}.png")
    for number in range(4):
        written(tmp_path / f"bad{number}.png", b"")
    with pytest.raises(UserError, match="4 of 14 pictures in .*--max-skipped"):
        load_images(str(tmp_path))


def test_a_file_is_no_folder_of_pictures(tmp_path):
    np.save(tmp_path / "a.npy", np.zeros([3, 8, 8]))
    with pytest.raises(UserError, match="a.npy: a file; expected a folder of PNG"):
        load_images(str(tmp_path / "a.npy"))


def test_an_unknown_name_lists_the_known_ones():
    with pytest.raises(UserError, match="^mnits: no such folder.*mnist, tiny, tfds:NAME"):
        load_images("mnits")


def mocked(name, folder, examples, **splits):
    """Mock the examples of a tensorflow-datasets set, under the splits that the real one has."""
    folder = folder / "tensorflow_datasets"
    builder = tfds.builder(name, data_dir=folder)
    infos = [tfds.core.SplitInfo(name=split, shard_lengths=[count], num_bytes=0) for split, count in splits.items()]
    builder.info.set_splits(tfds.core.splits.SplitDict(infos))
    builder.data_path.mkdir(parents=True)
    builder.info.write_to_directory(builder.data_dir)
    return tfds.testing.mock_data(num_examples=examples, data_dir=str(folder))


def test_fashion_mnist_through_tensorflow_datasets(tmp_path):
    with mocked("fashion_mnist", tmp_path, 6, train=60000, test=10000):
        images = load_images("tfds:fashion_mnist", data_dir=tmp_path)
    assert images.train.shape == images.held_out.shape == (6, 28, 28, 1)
    assert images.train_labels.shape == (6,) and images.held_out_labels.max() < 10


def test_colour_pictures_of_all_sizes_through_tensorflow_datasets(tmp_path):
    with mocked("oxford_flowers102", tmp_path, 2, train=1020, test=6149, validation=1020):
        images = load_images("tfds:oxford_flowers102", data_dir=tmp_path)
    assert images.train.shape == images.held_out.shape == (2, 64, 64, 3)


def test_a_split_of_a_data_set_without_labels_has_none(monkeypatch):
    def split(*labels):
        pictures = np.zeros((len(labels), 8, 8, 1), np.uint8)
        return tf.data.Dataset.from_tensor_slices({"image": pictures, "label": np.array(labels)})

    monkeypatch.setattr(data, "load_splits", lambda *_, **__: {"train": split(3, 0), "test": split(-1, -1)})
    images = load_images("tfds:stl10")
    assert images.train_labels.tolist() == [3, 0] and images.held_out_labels is None


@pytest.mark.parametrize(("shape", "size"), [((40, 40), (40, 40)), ((44, 36), (64, 64)), ((520, 520), (64, 64))])
def test_pictures_that_are_no_squares_or_too_large_to_generate_are_resized_to_64(monkeypatch, shape, size):
    split = tf.data.Dataset.from_tensor_slices({"image": np.zeros((2, *shape, 3), np.uint8)})
    monkeypatch.setattr(data, "load_splits", lambda *_, **__: {"train": split})
    assert load_images("tfds:faces").train.shape == (2, *size, 3)


def test_of_a_tfds_set_the_test_split_is_held_out_whatever_others_there_are(tmp_path):
    with mocked("svhn_cropped", tmp_path, 4, train=73257, test=26032, extra=531131):
        splits = tfds_data.load("svhn_cropped", tmp_path)[0]
    assert list(splits) == ["train", "extra", "test"]


def test_bytes_survive_the_way_there_and_back():
    values = np.arange(256, dtype=np.uint8)
    scaled = to_unit_range(values)
    assert (float(scaled[0]), float(scaled[-1])) == (-1, 1)
    np.testing.assert_array_equal(to_bytes(scaled), values)


def seen(epoch, count=10):
    images = np.arange(count, dtype=np.uint8)[:, None, None, None]
    return [to_bytes(batch).numpy().ravel().tolist() for batch in training_batches(images, 4, seed=1, epoch=epoch)]


def test_an_epoch_shows_every_image_once_the_last_batch_smaller():
    assert [len(batch) for batch in seen(0)] == [4, 4, 2]
    assert sorted(sum(seen(0), [])) == list(range(10))
    assert seen(0) == seen(0) != seen(1)


def test_a_batch_size_larger_than_the_data_gives_one_batch():
    assert [len(batch) for batch in seen(0, count=3)] == [3]
