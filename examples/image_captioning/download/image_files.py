"""Photos with captions, as every source gives them.

Whatever the source, a data set becomes a list of photos, each with its captions and its split. Some files may be
missing, cut off or no images. These are counted and left out. More than `--max-skipped` is an error.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from common.data.images import read_image
from common.data.skipped import SkippedExamples, or_error
from common.errors import UserError
from common.io.files import sha256_of
from common.io.pool import Pool
from examples.image_captioning.download.toy_scenes import Scene

Split = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Photo:
    """A photo, or a drawn scene, with its captions."""

    name: str
    captions: Sequence[str]
    split: Split
    source: Path | Scene
    digest: str = ""
    """sha256 of its content, see `hash_photos`"""
    is_split_given: bool = True
    """whether the data say which split it is in"""

    def open(self) -> Image.Image:
        """Return the image in RGB.

        Raises:
            UserError: it is missing, or no image that can be read.
        """
        return (self.source.draw() if isinstance(self.source, Scene) else read_image(self.source)).convert("RGB")

    def with_digest(self) -> "Photo":
        """Return the photo with its digest.

        Raises:
            UserError: the file cannot be read.
        """
        if isinstance(self.source, Scene):
            return replace(self, digest=hashlib.sha256(self.source.draw().tobytes()).hexdigest())
        try:
            return replace(self, digest=sha256_of(self.source, follow_links=True))
        except OSError as error:
            raise UserError(f"{self.source}: cannot be read ({error.strerror})") from error


def resize(image: Image.Image, size: int) -> np.ndarray:
    """Return the whole image resized to a square, uint8 [size, size, 3]; a grid over it covers all of the image."""
    return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


def hash_photos(photos: Sequence[Photo], skipped: SkippedExamples) -> list[Photo]:
    """Return the photos whose files can be read, with the digests of their contents.

    A photo without a given split gets that of its copies: a given one, else that of the first copy.
    """
    with Pool() as pool:
        photos = list(skipped.without_errors(pool.map(partial(or_error, Photo.with_digest), photos)))
    splits: dict[str, Split] = {}
    for photo in sorted(photos, key=lambda photo: not photo.is_split_given):
        splits.setdefault(photo.digest, photo.split)
    return [photo if photo.is_split_given else replace(photo, split=splits[photo.digest]) for photo in photos]


def fingerprint(photos: Sequence[Photo]) -> str:
    """Return a digest of the contents of photos with digests, in their order."""
    return hashlib.sha256("\n".join(photo.digest for photo in photos).encode()).hexdigest()


def split_by_name(name: str) -> Split:
    """Put one photo in ten in the validation split: the same ones on every machine, however many there are."""
    return "validation" if hashlib.sha256(name.encode()).digest()[0] < 26 else "train"
