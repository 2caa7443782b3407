"""The tiny data set: digits drawn in many fonts, for runs without network access."""

from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
from PIL import Image, ImageDraw, ImageFont

IMAGE_SIZE = 28  # pixels, as in MNIST
_FONTS = (  # part of matplotlib, so the same on every machine
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic",
    "DejaVuSansMono", "DejaVuSansMono-Oblique", "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "cmr10", "cmss10",
)  # fmt: skip


def draw_digits(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draw digits, white on black, each in a random font, size, position and rotation.

    Args:
        count: number of images; the ten digits are equally frequent, up to one.
        seed: the same seed draws the same digits.

    Returns:
        images uint8 [count, 28, 28] and labels int64 [count].
    """
    random = np.random.default_rng(seed)
    labels = random.permutation(np.arange(count) % 10)
    return np.stack([_draw(int(label), random) for label in labels]), labels


def _draw(digit: int, random: np.random.Generator) -> np.ndarray:
    large = 4 * IMAGE_SIZE  # drawn large, then reduced, so that shifts of less than a pixel have an effect
    sheet = Image.new("L", (large, large))
    font = _font(str(random.choice(_FONTS)), int(random.integers(80, 97)))
    x, y = large / 2 + random.normal(0, 4, size=2)
    ImageDraw.Draw(sheet).text((x, y), str(digit), fill=255, font=font, anchor="mm")
    sheet = sheet.rotate(random.normal(0, 7), Image.Resampling.BILINEAR)
    return np.asarray(sheet.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.LANCZOS))


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf", size)
