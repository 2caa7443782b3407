# %% [markdown]
# ### Photos with captions
#
# Whatever the source, a data set becomes a list of photos, each with its captions and its split. Photos from the wild
# are sometimes missing, cut off or no photos at all. Each of these is named and counted, and left out; when more than
# one in a hundred is bad, something else is wrong, and it is better to stop.

# %%
"""What every source of captioned photos gives, and what becomes of the photos that cannot be used."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from common.data.images import read_image
from common.errors import UserError
from common.io.files import open_plain
from common.io.terminal import echo, one_line

# %% tags=["module"]
from examples.image_captioning.scenes import Scene

# %%
Split = Literal["train", "validation", "test"]

_NAMED = 10  # how many of the photos left out are named one by one
_MOST_LEFT_OUT = 0.01  # share of a data set


@dataclass(frozen=True)
class Photo:
    """A photo, or a drawn scene, and what people say about it."""

    name: str
    captions: Sequence[str]
    split: Split
    source: Path | Scene
    digest: str = ""
    """sha256 of its content, known once it was surveyed"""

    def open(self) -> Image.Image:
        """Return the picture in RGB.

        Raises:
            UserError: it is missing, or no picture that can be read.
        """
        return (self.source.draw() if isinstance(self.source, Scene) else read_image(self.source)).convert("RGB")

    def surveyed(self) -> "Photo":
        """Return the photo with its digest.

        Raises:
            UserError: the file cannot be read.
        """
        if isinstance(self.source, Scene):
            return replace(self, digest=hashlib.sha256(self.source.draw().tobytes()).hexdigest())
        try:
            with open_plain(self.source, follow_links=True) as file:
                return replace(self, digest=hashlib.file_digest(file, "sha256").hexdigest())
        except OSError as error:
            raise UserError(f"{self.source}: cannot be read ({error.strerror})") from error


def pixels_of(photo: Photo, size: int) -> np.ndarray:
    """Return the whole picture squeezed into a square, uint8 [size, size, 3]; a grid over it covers all of the photo.

    Raises:
        UserError: as `Photo.open`.
    """
    return squeeze(photo.open(), size)


def squeeze(image: Image.Image, size: int) -> np.ndarray:
    """Return a picture resized to `size` x `size` pixels without regard to its proportions, uint8 [size, size, 3]."""
    return np.asarray(image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR))


@dataclass
class LeftOut:
    """The parts of a data set that cannot be used, each with the reason."""

    reasons: list[str] = field(default_factory=list)

    def add(self, reason: object) -> None:
        """Note one; `reason` names it."""
        self.reasons.append(one_line(" ".join(str(reason).split())))

    def report(self, total: int, what: str) -> None:
        """Print how many of `total` are left out, and the first of them by name.

        Raises:
            UserError: more than one in a hundred.
        """
        if not self.reasons:
            return
        more = f"\n  ... and {len(self.reasons) - _NAMED} more" if len(self.reasons) > _NAMED else ""
        named = "\n".join(f"  {reason}" for reason in self.reasons[:_NAMED])
        echo(f"left out: {len(self.reasons)} of {total} {what}\n{named}{more}")
        if len(self.reasons) > _MOST_LEFT_OUT * total:
            raise UserError(
                f"{len(self.reasons)} of {total} {what} cannot be used, more than {_MOST_LEFT_OUT:.0%}: "
                f"{self.reasons[0]}; mend them, or take them out of the list of captions"
            )


def survey(photos: Sequence[Photo], left_out: LeftOut) -> list[Photo]:
    """Return the photos whose files can be read, with the digests of their contents."""

    def look(photo: Photo) -> Photo | UserError:
        try:
            return photo.surveyed()
        except UserError as error:
            return error

    with ThreadPoolExecutor() as pool:
        looked_at = list(pool.map(look, photos))
    for error in looked_at:
        if isinstance(error, UserError):
            left_out.add(error)
    return [photo for photo in looked_at if isinstance(photo, Photo)]


def fingerprint(photos: Sequence[Photo]) -> str:
    """Return a digest of the contents of surveyed photos, in their order."""
    return hashlib.sha256("\n".join(photo.digest for photo in photos).encode()).hexdigest()


def split_by_name(name: str) -> Split:
    """Put one photo in ten in the validation split: the same ones on every machine, however many there are."""
    return "validation" if hashlib.sha256(name.encode()).digest()[0] < 26 else "train"
