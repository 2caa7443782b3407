"""The attention for each word as light on the image: a sheet of panels, and the frames of a GIF."""

import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from common.viz import figures

_DIM = 0.25  # brightness without attention
_SPREAD = 20 / 224  # standard deviation over the image's side, as in Xu et al. 2015
_MARGIN = 12


def upsample(grid: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Spread weights over a grid, float [rows, columns], smoothly over a picture: each cell's as a Gaussian.

    Args:
        grid: weights, not negative.
        size: width and height of the picture, of which the grid covers the whole, whatever its proportions.

    Returns:
        float64 [height, width], not negative; less at the border, as there are no cells beyond it.
    """
    (width, height), (rows, columns) = size, np.shape(grid)
    return _bumps(rows, height) @ np.asarray(grid, float) @ _bumps(columns, width).T


def _bumps(cells: int, pixels: int) -> np.ndarray:
    """Return what each cell of a row adds to each pixel, float64 [pixels, cells]."""
    places, middles = ((np.arange(count) + 0.5) / count for count in (pixels, cells))
    return np.exp(-((places[:, None] - middles) ** 2) / (2 * _SPREAD**2))


def overlay(image: Image.Image, grid: np.ndarray) -> Image.Image:
    """Return the RGB picture dimmed, except where `grid`, float [rows, columns], is near its largest weight."""
    weights = upsample(grid, image.size)
    light = _DIM + (1 - _DIM) * weights / max(float(weights.max()), 1e-9)  # H W
    return Image.fromarray((np.asarray(image.convert("RGB")) * light[..., None]).astype(np.uint8))


def sheet(
    image: Image.Image, words: Sequence[str], grids: np.ndarray, title: str, width: int = 200, columns: int = 5
) -> Image.Image:
    """Draw the picture and, for each word, the picture with its attention, under the word.

    Args:
        image: the photo, in its own proportions.
        words: of the caption.
        grids: attention, float [words, rows, columns], each adding up to 1.
        title: set above it all.
        width: of a panel, in pixels.
        columns: panels to a row.
    """
    image = image.convert("RGB").resize((width, max(1, round(width * image.height / image.width))))
    panels = [image, *(overlay(image, grid) for grid in grids)]
    labels = [("", ""), *((word, f"{grid.max() * grid.size:.1f}x") for word, grid in zip(words, grids, strict=True))]
    columns = min(columns, len(panels))
    across, down = width + _MARGIN, image.height + 26
    letters = max(12, (columns * across) // 10)
    lines = [line for part in title.splitlines() for line in textwrap.wrap(part, letters)]
    top = _MARGIN + 22 * len(lines) + 4
    rows = -(-len(panels) // columns)
    canvas = Image.new("RGB", (columns * across + _MARGIN, top + rows * down + _MARGIN), figures.PAPER)
    pen = ImageDraw.Draw(canvas)
    for number, line in enumerate(lines):
        pen.text((_MARGIN, _MARGIN + 22 * number), line, fill=figures.INK, font=figures.monospace(16, bold=True))
    for number, (panel, (word, peak)) in enumerate(zip(panels, labels, strict=True)):
        x, y = _MARGIN + number % columns * across, top + number // columns * down
        pen.text((x, y), word, fill=figures.ACCENT, font=figures.monospace(15, bold=True))
        pen.text((x + width, y + 3), peak, fill=figures.FAINT, font=figures.monospace(11), anchor="ra")
        canvas.paste(panel, (x, y + 22))
    return canvas


def frames(image: Image.Image, words: Sequence[str], grids: np.ndarray, width: int = 360) -> list[Image.Image]:
    """Return one image for each word, of one size: the attention, and below it the caption with that word in colour.

    Args:
        image: the photo, in its own proportions.
        words: of the caption.
        grids: attention, float [words, rows, columns].
        width: in pixels.
    """
    image = image.convert("RGB").resize((width, max(1, round(width * image.height / image.width))))
    places, height = _lay_out(words, width)
    pictures = []
    for current, grid in enumerate(grids):
        canvas = Image.new("RGB", (width, image.height + height), figures.PAPER)
        canvas.paste(overlay(image, grid))
        pen = ImageDraw.Draw(canvas)
        for number, (word, (x, y)) in enumerate(zip(words, places, strict=True)):
            colour = figures.ACCENT if number == current else figures.INK if number < current else figures.FAINT
            pen.text((x, image.height + y), word, fill=colour, font=figures.monospace(15, bold=number == current))
        pictures.append(canvas)
    return pictures


def _lay_out(words: Sequence[str], width: int) -> tuple[list[tuple[float, int]], int]:
    """Give each word a place in lines of `width`, and return the height of all lines."""
    font = figures.monospace(15, bold=True)
    places: list[tuple[float, int]] = []
    x, y = float(_MARGIN), 8
    for word in words:
        if x + font.getlength(word) > width - _MARGIN and x > _MARGIN:
            x, y = float(_MARGIN), y + 22
        places.append((x, y))
        x += font.getlength(word + " ")
    return places, y + 30
