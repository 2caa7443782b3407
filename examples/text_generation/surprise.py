# %% [markdown]
# ### Where it knows and where it doesn't
#
# The model reads a held-out passage. Each character is shaded by how surprised the model was to see it, $-\log_2 p$ in
# bits: white where it knew, dark where it had no idea. Below each character stand the three that it expected most, in
# blue the one that came. Beginnings of words are hard, their ends are easy, and a name once begun is certain.

# %%
"""Step 5, continued: shade a passage by the model's surprise at each character, with its best guesses."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from matplotlib import colormaps
from PIL import Image, ImageDraw

from common.data.images import save_image
from common.viz import figures

# %% tags=["module"]
from examples.text_generation.demo import TextGenerator
from examples.text_generation.model import cross_entropy


# %%
@dataclass(frozen=True)
class Surprise:
    """What a model expected of each character of a text."""

    text: str
    bits: np.ndarray
    """float32 [characters]: -log2 p of the character that came."""
    guesses: Sequence[Sequence[str]]
    """For each character the likeliest three, the likeliest first."""


def choose_passage(text: str) -> tuple[str, int]:
    """Return a part of `text` (two characters or more) and how much of it is context, in whole lines if it has any."""
    context = text.find("\n", len(text) // 3, len(text) - 1) + 1 or len(text) // 2
    end = text.rfind("\n", context) + 1 or len(text)
    return text[:end], context


def read_with_surprise(generator: TextGenerator, text: str, context: int) -> Surprise:
    """Let the model read `text`, and report on all but the first `context` characters, which must be at least one."""
    ids = generator.vocabulary.encode(text)[None]  # 1 T
    logits, _ = generator.model(tf.constant(ids[:, :-1]), generator.model.initial_state(1))  # 1 T-1 V
    bits = cross_entropy(logits, tf.constant(ids[:, 1:])).numpy()[0] / np.log(2)  # T-1
    likeliest = tf.math.top_k(logits[0], min(3, len(generator.vocabulary))).indices.numpy()  # T-1 3
    guesses = [generator.vocabulary.decode(row) for row in likeliest]
    return Surprise(text[context:], bits[context - 1 :], guesses[context - 1 :])


# %% [markdown]
# The drawing is a grid of cells, one a character.

# %%
CELL_WIDTH, CELL_HEIGHT, MARGIN, HEADER = 20, 84, 24, 100
SATURATED_BITS = 8.0  # the darkest shade; a uniform guess among 65 characters costs 6
_SHADES = colormaps["Oranges"]


def draw_surprise(surprise: Surprise, path: Path, columns: int = 64) -> None:
    """Draw a passage shaded by surprise, with the model's guesses below each character, as a PNG."""
    places = _lay_out(surprise.text, columns)
    lines = places[-1][1] + 1
    image = Image.new("RGB", (2 * MARGIN + columns * CELL_WIDTH, HEADER + MARGIN + lines * CELL_HEIGHT), figures.PAPER)
    draw = ImageDraw.Draw(image)
    _draw_header(draw, float(surprise.bits.mean()))
    for place, character, bits, guesses in zip(places, surprise.text, surprise.bits, surprise.guesses, strict=True):
        _draw_cell(draw, place, character, float(bits), guesses)
    save_image(image, path)


def _lay_out(text: str, columns: int) -> list[tuple[int, int]]:
    """Give each character a place (column, line)."""
    places, column, line = [], 0, 0
    for character in text:
        if column == columns:
            column, line = 0, line + 1
        places.append((column, line))
        column, line = (0, line + 1) if character == "\n" else (column + 1, line)
    return places


def _draw_cell(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], character: str, bits: float, guesses: Sequence[str]
) -> None:
    x, y = MARGIN + place[0] * CELL_WIDTH, HEADER + place[1] * CELL_HEIGHT
    centre = x + CELL_WIDTH / 2
    draw.rectangle((x, y, x + CELL_WIDTH - 1, y + 31), fill=_shade(bits))
    dark = bits > 0.6 * SATURATED_BITS
    draw.text(
        (centre, y + 16), _visible(character, blank=" "), fill=figures.PAPER if dark else figures.INK, anchor="mm",
        font=figures.monospace(22),
    )  # fmt: skip
    for rank, guess in enumerate(guesses):
        right = guess == character
        draw.text(
            (centre, y + 40 + 14 * rank), _visible(guess), fill=figures.SECOND if right else figures.FAINT,
            anchor="mm", font=figures.monospace(13, bold=right),
        )  # fmt: skip


def _draw_header(draw: ImageDraw.ImageDraw, mean_bits: float) -> None:
    title = f"The model's surprise at a passage it never saw: {mean_bits:.2f} bits per character on average here"
    draw.text((MARGIN, 18), title, fill=figures.INK, font=figures.monospace(17, bold=True))
    note, font = "Below each character the three that were expected most; the right one is blue.", figures.monospace(15)
    draw.text((MARGIN, 58), "0 bits", fill=figures.FAINT, font=font)
    left = MARGIN + 64
    for step in range(160):
        draw.line((left + step, 58, left + step, 74), fill=_shade(SATURATED_BITS * step / 160))
    draw.text((left + 168, 58), f"{SATURATED_BITS:.0f} or more.  {note}", fill=figures.FAINT, font=font)


def _shade(bits: float) -> tuple[int, int, int]:
    return tuple(round(255 * channel) for channel in _SHADES(min(1.0, bits / SATURATED_BITS))[:3])


def _visible(character: str, blank: str = "␣") -> str:
    return {"\n": "↵", " ": blank, "\t": "→"}.get(character, character)
