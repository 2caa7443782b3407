"""Steps 1 and 2: images of any source as one array of bytes, and batches of them in [-1, 1].

A generative adversarial network is trained on images alone; it needs no labels. This module does the first two of the
five steps: **download** the images and **preprocess** them into `tf.data` batches.

Letters in shape comments: N images, M held-out images, B batch, H W C image.
"""

import gzip
import math
import os
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tqdm.auto import tqdm

from common.data.batching import epoch_order
from common.data.download import Resource, fetch
from common.data.images import crop, image_paths, read_image
from common.data.skipped import SkippedExamples, or_error
from common.data.tfds import load_splits
from common.errors import UserError
from common.io.pool import Pool
from common.io.terminal import one_line
from examples.dcgan.config import MAX_SIDE, format_size, parse_size
from examples.dcgan.download.toy_digits import draw_digits
from examples.dcgan.preprocess.image_array import batch_reader, pack_images, sha256_of

# Step 1: download. MNIST has 60,000 handwritten digits for training and 10,000 held out, in four files of a simple
# format: a magic number, the lengths of the axes, then the bytes.
_MNIST = {
    "train-images-idx3-ubyte.gz": (9_912_422, "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609"),
    "train-labels-idx1-ubyte.gz": (28_881, "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c"),
    "t10k-images-idx3-ubyte.gz": (1_648_877, "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6"),
    "t10k-labels-idx1-ubyte.gz": (4_542, "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6"),
}
MNIST = [
    Resource(
        path=f"mnist/{name}",
        url=f"https://storage.googleapis.com/cvdf-datasets/mnist/{name}",
        size=size,
        sha256=sha256,
        licence="CC BY-SA 3.0",
    )
    for name, (size, sha256) in _MNIST.items()
]


def read_idx(path: Path) -> np.ndarray:
    """Return the array in a gzipped idx file of unsigned bytes (yann.lecun.com/exdb/mnist describes the format).

    Raises:
        UserError: the file is not gzip, not idx, or truncated.
    """
    try:
        content = gzip.decompress(path.read_bytes())
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"{path}: no readable gzip file ({error}); delete it to have it downloaded again") from error
    zeros, dtype_code, axes = content[:2], content[2:3], content[3] if len(content) > 3 else 0
    shape = np.frombuffer(content, ">u4", axes, offset=4).tolist() if len(content) >= 4 + 4 * axes else ()
    values = content[4 + 4 * axes :]
    if zeros != b"\0\0" or dtype_code != b"\x08" or not 1 <= axes <= 4 or len(values) != math.prod(shape):
        raise UserError(f"{path}: not an idx file of bytes, or cut off; delete it to have it downloaded again")
    return np.frombuffer(values, np.uint8).reshape(shape)


# Step 2: preprocess. Images of every source become one array of bytes: cropped to one shape, resized, all grey or all
# in colour. MNIST takes 47 megabytes; more than 512 are kept on the disk ([image_array.py](preprocess/image_array.py)).
@dataclass(frozen=True)
class ImageSet:
    """Images as bytes, their labels if the source has them, and their fingerprint."""

    train: np.ndarray
    """uint8 [N, H, W, C]"""
    train_labels: np.ndarray | None
    """int64 [N]; None if the source has no labels."""
    held_out: np.ndarray | None
    """uint8 [M, H, W, C], never trained on; None if the source has only one split."""
    held_out_labels: np.ndarray | None
    """int64 [M]; None if the source has no labels or only one split."""
    fingerprint: dict[str, Any]
    """Number, size and channels of the training images, and the sha256 of their bytes."""


def load_images(
    name: str,
    image_size: int | str | None = None,
    channels: int | None = None,
    data_dir: Path | None = None,
    max_skipped: float = 0.1,
) -> ImageSet:
    """Return the images of a data set or a folder.

    Args:
        name: "mnist", "tiny" (digits that the code draws, in colour with 3 `channels`), "tfds:NAME" for a data set of
            tensorflow-datasets with a feature called "image", or the path of a folder of PNG, JPEG, WebP, GIF, BMP or
            TIFF files.
        image_size: "64x96" for H x W, or 64 for a square; None for that of the source if all its images are squares
            of one size up to 512, else 64.
        channels: 1 for grey, 3 for colour; None for those of the source.
        data_dir: the download cache; None for the default one.
        max_skipped: the largest fraction of a folder that may be unreadable.

    Raises:
        UserError: the name is unknown, there is no image, too many are unreadable, or the download failed.
    """
    size = image_size and parse_size(image_size)
    if name == "mnist":
        images, labels, held_out, held_out_labels = (read_idx(fetch(file, data_dir)) for file in MNIST)
        return _image_set(size or (28, 28), channels or 1, (images, labels), (held_out, held_out_labels))
    if name == "tiny":
        size, channels = size or (28, 28), channels or 1
        side = min(max(28, *size), 64)  # drawing more pixels takes long; other sizes are resized
        digits = (draw_digits(count, seed, side, in_colour=channels == 3) for count, seed in ((2000, 1), (1000, 2)))
        return _image_set(size, channels, *digits)
    if name.startswith("tfds:"):
        return _load_from_tfds(name.removeprefix("tfds:"), size, channels, data_dir)
    if Path(name).is_dir():
        return _fingerprinted(read_folder(Path(name), size or (64, 64), channels, max_skipped))
    if Path(name).exists():
        raise UserError(f"{name}: a file; expected a folder of PNG, JPEG, WebP, GIF, BMP or TIFF pictures")
    raise UserError(
        f"{name}: no such folder, nor a known data set; known are mnist, tiny, tfds:NAME (for instance "
        "tfds:fashion_mnist), and the path of a folder of pictures"
    )


_Labelled = tuple[Sequence[np.ndarray], np.ndarray | None]  # pictures uint8 [H, W] or [H, W, 3], and their labels


def _image_set(size: tuple[int, int], channels: int, train: _Labelled, held_out: _Labelled) -> ImageSet:
    """Return all pictures at one size and with one number of channels."""
    images, held_out_images = (
        pack_images(pictures, len(pictures), size, channels) for pictures in (train[0], held_out[0])
    )
    return _fingerprinted(images, train[1], held_out_images, held_out[1])


def _fingerprinted(
    images: np.ndarray,
    labels: np.ndarray | None = None,
    held_out: np.ndarray | None = None,
    held_out_labels: np.ndarray | None = None,
) -> ImageSet:
    count, *size, channels = images.shape
    shape = {"images": count, "image_size": format_size(*size), "channels": channels}
    return ImageSet(images, labels, held_out, held_out_labels, shape | {"sha256": sha256_of(images)})


def _load_from_tfds(name: str, size: tuple[int, int] | None, channels: int | None, data_dir: Path | None) -> ImageSet:
    """Return the images of tensorflow-datasets: the first split for training, the last held out."""
    splits = list(load_splits(name, data_dir, feature="image").values())
    height, width, depth = splits[0].element_spec["image"].shape
    has_labels = "label" in splits[0].element_spec
    size = size or ((height, width) if height and height == width <= MAX_SIDE else (64, 64))

    def read(split: tf.data.Dataset) -> tuple[np.ndarray, np.ndarray | None]:
        labels = []

        def pictures() -> Iterator[np.ndarray]:
            for example in split.as_numpy_iterator():
                labels.append(example.get("label"))
                pixels = example["image"]
                yield pixels[..., 0] if pixels.shape[-1] == 1 else pixels  # H W or H W 3

        images = pack_images(pictures(), int(split.cardinality()), size, channels or (1 if depth == 1 else 3))
        is_labelled = has_labels and np.min(labels) >= 0  # -1 where a split has none
        return images, np.array(labels, np.int64) if is_labelled else None

    held_out = read(splits[-1]) if len(splits) > 1 else (None, None)
    return _fingerprinted(*read(splits[0]), *held_out)


def read_folder(folder: Path, size: tuple[int, int], channels: int | None, max_skipped: float) -> np.ndarray:
    """Return the pictures in a folder and its subfolders, uint8 [N, H, W, C], in the order of their names.

    Unreadable pictures and other files are left out, with a warning. For the arguments see `load_images`.

    Raises:
        UserError: there is no picture, or more than the fraction `max_skipped` is unreadable.
    """
    paths = image_paths(folder)
    skipped = SkippedExamples()
    with Pool(min(8, os.cpu_count() or 1)) as pool:
        results = pool.map(partial(or_error, lambda path: np.asarray(crop(read_image(path), *size))), paths)
        bar = tqdm(results, one_line(f"reading {folder}"), len(paths), unit="image", disable=None)
        images = pack_images(skipped.without_errors(bar), len(paths), size, channels)
    if not len(images):
        first = f"; the first: {skipped.reasons[0]}" if paths else ""
        raise UserError(
            f"--data {folder}: expected a folder of PNG, JPEG, WebP, GIF, BMP or TIFF pictures, got {len(paths)} such "
            f"files, {len(paths)} of them unreadable{first}"
        )
    skipped.report(len(paths), f"pictures in {folder}", max_skipped)
    return images


# Bytes become numbers from -1 to 1, the range of the generator's $\tanh$. The order of the images changes every epoch
# and depends only on the seed and the epoch number. So a resumed run continues with exactly the batches of an
# uninterrupted one. The last batch of an epoch may be smaller; no image is dropped.
def to_unit_range(images: tf.Tensor) -> tf.Tensor:
    """Return uint8 `images` as float32 from -1 (black) to 1 (white)."""
    return tf.cast(images, tf.float32) / 127.5 - 1


def to_bytes(images: tf.Tensor) -> tf.Tensor:
    """Return float32 `images` from -1 to 1 as uint8: the inverse of `to_unit_range`."""
    return tf.cast(tf.round((images + 1) * 127.5), tf.uint8)


def training_batches(images: np.ndarray, batch_size: int, seed: int, epoch: int) -> tf.data.Dataset:
    """Return the batches of an epoch, float32 [B, H, W, C] in [-1, 1], of images uint8 [N, H, W, C].

    Their order depends on `seed` and `epoch`, from 0; the last batch has the remaining images.
    """
    read = batch_reader(images)
    order = tf.data.Dataset.from_tensor_slices(epoch_order(len(images), seed, epoch))
    return order.batch(batch_size).map(lambda rows: to_unit_range(read(rows)))
