"""Attention drawn on a photo, as a sheet of panels or a GIF: for each word, regions without attention are darkened."""

import textwrap
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from common.viz import figures
from common.viz.fonts import Typesetter, is_right_to_left

_MIN_BRIGHTNESS = 0.25  # fraction of the brightness that remains without attention
_SIGMA = 20 / 224  # standard deviation as a fraction of the side of the photo, as in Xu et al. 2015
_MARGIN = 12


def upsample(grid: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Return the weights of a grid resized to a photo: a sum of Gaussians, one at the centre of each cell.

    Args:
        grid: non-negative weights, float [rows, columns].
        size: width and height of the photo; the grid covers all of it.

    Returns:
        float64 [height, width], non-negative; smaller near the border, because there are no cells beyond it.
    """
    (width, height), (rows, columns) = size, np.shape(grid)
    return _gaussian_weights(rows, height) @ np.asarray(grid, float) @ _gaussian_weights(columns, width).T


def _gaussian_weights(cells: int, pixels: int) -> np.ndarray:
    """Return the weight of each cell at each pixel of a row, float64 [pixels, cells]."""
    positions, centres = ((np.arange(count) + 0.5) / count for count in (pixels, cells))
    return np.exp(-((positions[:, None] - centres) ** 2) / (2 * _SIGMA**2))


def overlay(image: Image.Image, grid: np.ndarray) -> Image.Image:
    """Return the photo in RGB, darkened where the weights of `grid`, float [rows, columns], are small."""
    weights = upsample(grid, image.size)
    brightness = _MIN_BRIGHTNESS + (1 - _MIN_BRIGHTNESS) * weights / max(float(weights.max()), 1e-9)  # H W
    return Image.fromarray((np.asarray(image.convert("RGB")) * brightness[..., None]).astype(np.uint8))


def fit_to_width(image: Image.Image, width: int) -> Image.Image:
    """Return a photo in RGB, resized to `width` pixels, or to less if it would be more than twice as high."""
    factor = min(width / image.width, 2 * width / image.height)
    return image.convert("RGB").resize([max(1, round(factor * side)) for side in image.size])


def sheet(
    image: Image.Image, words: Sequence[str], grids: np.ndarray, title: str, width: int = 200, columns: int = 5
) -> Image.Image:
    """Return a sheet with the photo and, for each word of its caption, the photo with the attention of that word.

    The number beside a word is the largest weight relative to uniform attention; a word that is too long for both is
    cut short. `grids` are the weights, float
    [words, rows, columns]; each grid sums to 1. A panel is `width` pixels wide, and a row has at most `columns` panels.
    """
    image = fit_to_width(image, width)
    panels = [image, *(overlay(image, grid) for grid in grids)]
    labels = [("", ""), *((word, f"{grid.max() * grid.size:.1f}x") for word, grid in zip(words, grids, strict=True))]
    columns = min(columns, len(panels))
    across, down = width + _MARGIN, image.height + 26
    letters = max(12, (columns * across) // 10)
    lines = [line for part in title.splitlines() for line in textwrap.wrap(part, letters)]
    top = _MARGIN + 22 * len(lines) + 4
    rows = -(-len(panels) // columns)
    canvas = Image.new("RGB", (columns * across + _MARGIN, top + rows * down + _MARGIN), figures.PAPER)
    draw = ImageDraw.Draw(canvas)
    for index, line in enumerate(lines):
        Typesetter(line, 16, bold=True).draw(draw, (_MARGIN, _MARGIN + 22 * index), line, figures.INK)
    for index, (panel, (word, peak)) in enumerate(zip(panels, labels, strict=True)):
        x, y = _MARGIN + index % columns * across, top + index // columns * down
        bold, small = Typesetter(word + "…", 15, bold=True), Typesetter(peak, 11)
        while len(word) > 1 and bold.length(word) + small.length(peak) > width - _MARGIN / 2:
            word = word[:-2] + "…"
        bold.draw(draw, (x, y), word, figures.ACCENT)
        small.draw(draw, (x + width, y + 3), peak, figures.FAINT, anchor="ra")
        canvas.paste(panel, (x, y + 22))
    return canvas


def frames(image: Image.Image, words: Sequence[str], grids: np.ndarray, width: int = 360) -> list[Image.Image]:
    """Return a frame for each word, all of one size: the photo with attention, and the caption with the word in colour.

    `grids` are the weights, as in `sheet`; `width` is that of a frame, in pixels.
    """
    image = fit_to_width(image, width)
    positions, height = _lay_out(words, width)
    pictures = []
    for current, grid in enumerate(grids):
        canvas = Image.new("RGB", (width, image.height + height), figures.PAPER)
        canvas.paste(overlay(image, grid))
        draw = ImageDraw.Draw(canvas)
        for index, (word, (x, y)) in enumerate(zip(words, positions, strict=True)):
            colour = figures.ACCENT if index == current else figures.INK if index < current else figures.FAINT
            Typesetter(word, 15, bold=index == current).draw(draw, (x, image.height + y), word, colour)
        pictures.append(canvas)
    return pictures


def _lay_out(words: Sequence[str], width: int) -> tuple[list[tuple[float, int]], int]:
    """Return the position (x, y) of each word in lines of `width` pixels, and the height of all lines."""
    setter = Typesetter("".join(words), 15, bold=True)
    positions: list[tuple[float, int]] = []
    x, y = float(_MARGIN), 8
    for word in words:
        if x + setter.length(word) > width - _MARGIN and x > _MARGIN:
            x, y = float(_MARGIN), y + 22
        positions.append((x, y))
        x += setter.length(word + " ")
    if is_right_to_left(words):
        positions = [(width - x - setter.length(word), y) for word, (x, y) in zip(words, positions, strict=True)]
    return positions, y + 30
