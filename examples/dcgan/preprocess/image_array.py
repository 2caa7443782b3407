"""Step 2, continued: pictures of any number as one array of bytes, in memory or on the disk.

Up to 512 MB the array is in memory. Beyond, it is in a file of the cache folder, which the system reads as needed, so
that a training takes little memory however many pictures there are. The file has no name and is gone with the process.
"""

import hashlib
import math
import os
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import platformdirs
import tensorflow as tf
from PIL import Image

from common.data.images import crop
from common.errors import UserError

MAX_BYTES_IN_MEMORY = 1 << 29
_BLOCK = 4096
"""Images that are read from the disk at once."""


def pack_images(
    pictures: Iterable[np.ndarray], max_count: int, size: tuple[int, int], channels: int | None
) -> np.ndarray:
    """Return pictures at one size and with one number of channels, uint8 [N, H, W, C].

    Args:
        pictures: uint8 [*, *] if grey, uint8 [*, *, 3] if in colour; they are cropped to the proportions and resized.
        max_count: N at most.
        size: H and W.
        channels: C, 1 or 3; None for 3 if one of the pictures is in colour.
    """
    images = _allocate((max_count, *size, channels or 3))
    mode = "L" if channels == 1 else "RGB"
    count, is_grey = 0, channels is None
    for picture in pictures:
        pixels = np.asarray(crop(Image.fromarray(picture), *size).convert(mode))
        images[count] = pixels.reshape(images.shape[1:])
        count, is_grey = count + 1, is_grey and picture.ndim == 2
    return images[:count, ..., : 1 if is_grey else None]


def _allocate(shape: tuple[int, ...]) -> np.ndarray:
    """Return an array uint8 of this shape, in memory or on the disk."""
    if math.prod(shape) <= MAX_BYTES_IN_MEMORY:
        return np.empty(shape, np.uint8)
    folder = Path(platformdirs.user_cache_dir("eager-examples"))
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder) as file:  # stays as long as the array
        _reserve(file.fileno(), math.prod(shape), folder)
        return np.memmap(file, np.uint8, "w+", shape=shape)


def _reserve(descriptor: int, size: int, folder: Path) -> None:
    """Reserve space for a file of `size` bytes: a full disk would kill the process when the array is written."""
    try:
        if hasattr(os, "posix_fallocate"):  # not on macOS
            os.posix_fallocate(descriptor, 0, size)
    except OSError as error:
        raise UserError(
            f"{folder}: no room for {size / 1e6:,.0f} MB of pictures ({error.strerror}); free some space, or set "
            "XDG_CACHE_HOME to a folder with more"
        ) from error


def sha256_of(images: np.ndarray) -> str:
    """Return the sha256 of the bytes of images [N, H, W, C]."""
    digest = hashlib.sha256()
    for start in range(0, len(images), _BLOCK):
        digest.update(np.ascontiguousarray(images[start : start + _BLOCK]))
    return digest.hexdigest()


def batch_reader(images: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a function, for use in tf.data, from row numbers int64 [B] to images uint8 [B, H, W, C]."""
    if not isinstance(images, np.memmap):
        in_memory = tf.constant(images)
        return lambda rows: tf.gather(in_memory, rows)

    def read(rows: tf.Tensor) -> tf.Tensor:
        batch = tf.numpy_function(lambda rows: np.ascontiguousarray(images[rows]), [rows], tf.uint8)
        return tf.ensure_shape(batch, [None, *images.shape[1:]])

    return read
