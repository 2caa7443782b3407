"""The tiny data set: digits drawn in many fonts, in grey or in colour, for runs without network access."""

from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.colors import hsv_to_rgb
from PIL import Image, ImageDraw, ImageFont

IMAGE_SIZE = 28  # pixels, as in MNIST
_FONTS = (  # part of matplotlib, so the same on every machine
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic",
    "DejaVuSansMono", "DejaVuSansMono-Oblique", "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "cmr10", "cmss10",
)  # fmt: skip


def draw_digits(
    count: int, seed: int, image_size: int = IMAGE_SIZE, in_colour: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Draw digits, each in a random font, size, position and rotation: white on black, or in random colours.

    Returns:
        Images uint8 [count, H, H], H = `image_size`, or [count, H, H, 3] in colour, and labels int64 [count]. The ten
        digits are equally frequent, up to one.
    """
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % 10)
    images = np.stack([_draw(int(label), random, image_size) for label in labels])  # N H H
    return (_colour(images, random) if in_colour else images), labels


def _draw(digit: int, random: np.random.Generator, image_size: int) -> np.ndarray:
    large = 4 * image_size  # drawn large, then reduced, so that shifts of less than a pixel have an effect
    scale = image_size / IMAGE_SIZE
    sheet = Image.new("L", (large, large))
    font = _font(str(random.choice(_FONTS)), round(scale * int(random.integers(80, 97))))
    x, y = large / 2 + random.normal(0, 4, size=2) * scale
    ImageDraw.Draw(sheet).text((x, y), str(digit), fill=255, font=font, anchor="mm")
    sheet = sheet.rotate(random.normal(0, 7), Image.Resampling.BILINEAR)
    return np.asarray(sheet.resize((image_size, image_size), Image.Resampling.LANCZOS))


def _colour(images: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Return grey images uint8 [N, H, H] with white in a random bright hue and black in a dark one far from it."""
    hue = random.random(len(images))
    other_hue = (hue + random.uniform(0.25, 0.75, len(images))) % 1
    bright, dark = (
        hsv_to_rgb(np.stack(np.broadcast_arrays(hues, 0.8, value), axis=-1))[:, None, None]  # N 1 1 3
        for hues, value in ((hue, 1.0), (other_hue, 0.4))
    )
    white = images[..., None] / 255  # N H H 1
    return np.round(255 * (white * bright + (1 - white) * dark)).astype(np.uint8)  # N H H 3


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf", size)
