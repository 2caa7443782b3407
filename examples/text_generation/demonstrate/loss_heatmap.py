r"""Step 5, continued: draw a passage with each character shaded by its negative log-likelihood.

The model processes a validation passage. Each character is shaded by its negative log-likelihood (nll) $-\log_2 p$ in
bits, also called its *surprise*: white where the model gave it a probability near 1, dark where it gave it almost
none. Below each character stand the three likeliest characters, in blue the correct one. The beginnings of words have
a high loss, their ends a low one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from matplotlib import colormaps
from PIL import Image, ImageDraw

from common.data.images import save_image
from common.viz import figures
from common.viz.fonts import Typesetter, is_right_to_left
from examples.text_generation.demo import TextGenerator
from examples.text_generation.model import cross_entropy


@dataclass(frozen=True)
class CharacterLosses:
    """The negative log-likelihood of each character of a text, and the model's predictions."""

    text: str
    nll_bits: np.ndarray
    """float32 [characters]: -log2 p of the character."""
    predictions: Sequence[Sequence[str]]
    """For each character the likeliest three, the likeliest first."""

    @property
    def mean_bits(self) -> float:
        """The mean of `nll_bits`."""
        return float(self.nll_bits.mean())


def choose_passage(text: str) -> tuple[str, int]:
    """Return a part of `text` (two characters or more) and how much of it is context, in whole lines if it has any."""
    context = text.find("\n", len(text) // 3, len(text) - 1) + 1 or len(text) // 2
    end = text.rfind("\n", context) + 1 or len(text)
    return text[:end], context


def character_losses(generator: TextGenerator, text: str, context: int) -> CharacterLosses:
    """Return the nll of all characters of `text` but the first `context`, which must be at least one."""
    ids = generator.vocabulary.encode(text)[None]  # 1 T
    tokens = generator.vocabulary.decode(ids[0])
    logits = generator.logits(ids[:, :-1])  # 1 T-1 V
    nll_bits = cross_entropy(logits, tf.constant(ids[:, 1:])).numpy()[0] / np.log(2)  # T-1
    likeliest = tf.math.top_k(logits[0], min(3, len(generator.vocabulary))).indices.numpy()  # T-1 3
    predictions = [generator.vocabulary.decode(row) for row in likeliest]
    if len(tokens) < len(text):  # words or subwords: the nll of one is spread over its characters
        lengths = [len(token) for token in tokens[1:]]
        nll_bits, predictions = np.repeat(nll_bits / lengths, lengths), [()] * sum(lengths)
        context = max(context, len(tokens[0]))
    start = context - len(text)  # counted from the end
    return CharacterLosses(text[context:], nll_bits[start:], predictions[start:])


# The drawing is a grid of cells, one for each character.
CELL_WIDTH, CELL_HEIGHT, MARGIN, HEADER = 20, 84, 24, 100
MIN_WIDTH = 900  # of the header
SATURATED_BITS = 8.0  # the darkest shade; the uniform distribution over 65 characters has 6
_SHADES = colormaps["Oranges"]


def draw_loss_heatmap(losses: CharacterLosses, path: Path, columns: int = 64) -> None:
    """Draw a passage as a PNG, each character shaded by its nll, with the predictions below it."""
    cells = _lay_out(losses.text, columns)
    columns, lines = (max(numbers) + 1 for numbers in zip(*cells, strict=True))
    if is_right_to_left(losses.text):
        cells = [(columns - 1 - column, line) for column, line in cells]
    letters = {*losses.text, *(letter for predictions in losses.predictions for letter in predictions)}
    setters = [Typesetter(letters, size, bold) for size, bold in ((22, False), (13, False), (13, True))]
    width = max(MIN_WIDTH, 2 * MARGIN + columns * CELL_WIDTH)
    image = Image.new("RGB", (width, HEADER + MARGIN + lines * CELL_HEIGHT), figures.PAPER)
    draw = ImageDraw.Draw(image)
    _draw_header(draw, losses.mean_bits, has_predictions=any(losses.predictions))
    for cell, character, bits, predictions in zip(cells, losses.text, losses.nll_bits, losses.predictions, strict=True):
        _draw_cell(draw, setters, cell, character, float(bits), predictions)
    save_image(image, path)


def _lay_out(text: str, columns: int) -> list[tuple[int, int]]:
    """Return the cell (column, line) of each character."""
    cells, column, line = [], 0, 0
    for character in text:
        if column == columns:
            column, line = 0, line + 1
        cells.append((column, line))
        column, line = (0, line + 1) if character == "\n" else (column + 1, line)
    return cells


def _draw_cell(
    draw: ImageDraw.ImageDraw,
    setters: Sequence[Typesetter],
    cell: tuple[int, int],
    character: str,
    bits: float,
    predictions: Sequence[str],
) -> None:
    of_character, of_prediction, of_correct = setters
    x, y = MARGIN + cell[0] * CELL_WIDTH, HEADER + cell[1] * CELL_HEIGHT
    centre = x + CELL_WIDTH / 2
    draw.rectangle((x, y, x + CELL_WIDTH - 1, y + 31), fill=_shade(bits))
    is_dark = bits > 0.6 * SATURATED_BITS
    colour = figures.PAPER if is_dark else figures.INK
    of_character.draw(draw, (centre, y + 16), _visible(character, blank=" "), colour, anchor="mm")
    for rank, prediction in enumerate(predictions):
        is_correct = prediction == character
        setter, colour = (of_correct, figures.SECOND) if is_correct else (of_prediction, figures.FAINT)
        setter.draw(draw, (centre, y + 40 + 14 * rank), _visible(prediction), colour, anchor="mm")


def _draw_header(draw: ImageDraw.ImageDraw, mean_bits: float, has_predictions: bool) -> None:
    title = f"Negative log-likelihood of each character: {mean_bits:.2f} bits on average here"
    Typesetter(title, 17, bold=True).draw(draw, (MARGIN, 18), title, figures.INK)
    note = "Below: the three likeliest; the correct one is blue." if has_predictions else ""
    setter = Typesetter(title, 15)
    setter.draw(draw, (MARGIN, 58), "0 bits", figures.FAINT)
    left = MARGIN + 64
    for step in range(160):
        draw.line((left + step, 58, left + step, 74), fill=_shade(SATURATED_BITS * step / 160))
    setter.draw(draw, (left + 168, 58), f"{SATURATED_BITS:.0f} or more.  {note}", figures.FAINT)


def _shade(bits: float) -> tuple[int, int, int]:
    return tuple(round(255 * channel) for channel in _SHADES(min(1.0, bits / SATURATED_BITS))[:3])


def _visible(character: str, blank: str = "␣") -> str:
    return {"\n": "↵", " ": blank, "\t": "→"}.get(character, character)
