"""Figures that the examples share: learning curves, frames of text, attention maps, GIFs; drawn without a screen."""

import io
import textwrap
import unicodedata
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import style
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator
from PIL import Image, ImageDraw

from common.data.images import image_bytes
from common.io.files import write_atomically
from common.viz.fonts import Typesetter, families_for, is_right_to_left

INK, FAINT, PAPER, ACCENT, SECOND = "#1f2430", "#6b7180", "#ffffff", "#c2410c", "#2563eb"
_COLUMNS, _MAX_LINES = 64, 18  # of a frame of text: letters in a line, and lines
figure_style = style.context(  # not that of the user's matplotlibrc
    ["default", {"axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}]
)
"""Decorates every function that makes a figure."""
_MAX_LABEL, _MAX_SIDE = 30, 4_000  # of an attention map: letters of a label, and pixels of the picture


@figure_style
def learning_curve(rows: Sequence[Mapping[str, float]], path: Path, unit: str, uniform_nll: float) -> None:
    """Draw the losses in `rows` of metrics.csv, at least one, against the epoch, and write a PNG.

    `unit` is that of the losses; a line shows `uniform_nll`, the loss of a uniform distribution.
    """
    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    epochs = [row["epoch"] for row in rows]
    axes.plot(epochs, [row["loss"] for row in rows], "o-", color=SECOND, label="training")
    if "val_loss" in rows[0]:
        losses = [row["val_loss"] for row in rows]
        best = min(range(len(losses)), key=losses.__getitem__)
        label = f"validation (best {losses[best]:.3f} in epoch {epochs[best]:.0f})"
        axes.plot(epochs, losses, "o-", color=ACCENT, label=label)
        axes.plot(epochs[best], losses[best], "o", markersize=13, color=ACCENT, fillstyle="none")
    axes.axhline(uniform_nll, color=FAINT, linestyle=":", label=f"uniform guess ({uniform_nll:.2f})")
    axes.set_yscale("log")  # the baseline would leave little room for the curves
    low, high = axes.get_ylim()
    axes.yaxis.set_major_locator(
        LogLocator(subs=[1, 2, 5] if high > 10 * low else [1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 8])
    )
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_locator(NullLocator())
    axes.set_xlabel("epoch")
    axes.set_ylabel(unit)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.legend()
    save_figure(figure, path)


@figure_style
def compare_curves(curves: Mapping[str, Sequence[tuple[float, float]]], unit: str) -> Image.Image:
    """Return a figure with the curves of several runs: by name, points (epoch, loss) with the loss in `unit`."""
    figure = Figure(figsize=(7, 4), dpi=110, layout="constrained")
    axes = figure.subplots()
    for name, points in curves.items():
        axes.plot(*zip(*points, strict=True), "o-", markersize=3, label=name)
    axes.set_xlabel("epoch")
    axes.set_ylabel(unit)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    for text in axes.legend(axes.lines, [*curves]).get_texts():  # by itself it leaves out names that begin with _
        text.set(parse_math=False, fontfamily=families_for(text.get_text()))  # else $ starts a formula
    return Image.frombytes("RGBA", *_render(figure)).convert("RGB")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a matplotlib figure as PNG, atomically."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    write_atomically(path, buffer.getvalue())


def text_frames(passages: Sequence[tuple[str, str]], prompt_length: int = 0) -> list[Image.Image]:
    """Return a picture of each (title, text), all of the same size; what is too long is cut off.

    The prompt, the first `prompt_length` characters of each text, is drawn in another colour.
    """
    wrapped = [_wrap(text)[:_MAX_LINES] for _, text in passages]
    letters = {letter for lines in wrapped for line in lines for letter in line}
    setter, line_height, margin = Typesetter(letters, 15), 22, 24
    width = round(2 * margin + _COLUMNS * setter.length("m"))
    height = 2 * margin + (2 + max(map(len, wrapped))) * line_height
    frames = []
    for (title, text), lines in zip(passages, wrapped, strict=True):
        frames.append(Image.new("RGB", (width, height), PAPER))
        draw = ImageDraw.Draw(frames[-1])
        Typesetter(title, 15, bold=True).draw(draw, (margin, margin), title, ACCENT)
        y, remaining = margin + 2 * line_height, len(text[:prompt_length].expandtabs(4))
        for line in lines:
            visible = line.removesuffix("\n")
            in_prompt = max(0, min(len(visible), remaining))
            if is_right_to_left(visible):
                colour = SECOND if in_prompt == len(visible) else INK
                setter.draw(draw, (width - margin, y), visible, colour, anchor="ra")
            else:
                setter.draw(draw, (margin, y), visible[:in_prompt], SECOND)
                setter.draw(draw, (margin + setter.length(visible[:in_prompt]), y), visible[in_prompt:], INK)
            y, remaining = y + line_height, remaining - len(line)
    return frames


def _wrap(text: str) -> list[str]:
    """Return the lines of a text, wrapped. A line has a line end only where the text itself has one."""
    columns = _COLUMNS * len(text) // max(1, _width(text))  # fewer letters in a line where letters are wide
    wrapper = textwrap.TextWrapper(max(1, columns), replace_whitespace=False, drop_whitespace=False)
    lines = []
    for line in text.expandtabs(4).splitlines():
        *pieces, last = wrapper.wrap(line) or [""]
        lines += [*pieces, f"{last}\n"]
    return lines


def titled(picture: Image.Image, title: str) -> Image.Image:
    """Return a picture in RGB with a title above it, wide enough for both."""
    setter, margin, strip = Typesetter(title, 15, bold=True), 10, 34
    width = max(picture.width, round(setter.length(title)) + 2 * margin)
    frame = Image.new("RGB", (width, picture.height + strip), PAPER)
    setter.draw(ImageDraw.Draw(frame), (margin, strip / 2), title, ACCENT, anchor="lm")
    frame.paste(picture, ((width - picture.width) // 2, strip))
    return frame


def gif_bytes(
    frames: Sequence[Image.Image],
    frame_ms: int = 900,
    last_ms: int = 4000,
    colours: int = 64,
    dither: bool = False,
    comment: str = "",
) -> bytes:
    """Return frames of one size, at least one, in RGB, as the bytes of an endless GIF.

    A frame lasts `frame_ms` milliseconds, the last one `last_ms`, and has at most so many `colours`, up to 256. Photos
    and attention that fades need `dither`: without it, a sky has bands.
    """
    durations = [frame_ms] * (len(frames) - 1) + [last_ms]
    # Maximum coverage keeps rare colours, which the default method would average away; of photos it is slow.
    method = Image.Quantize.FASTOCTREE if dither else Image.Quantize.MAXCOVERAGE
    reduced = [frame.quantize(colours, method) for frame in frames]
    if dither:  # again, with the palette of the frame: only then Pillow dithers
        reduced = [frame.quantize(palette=palette) for frame, palette in zip(frames, reduced, strict=True)]
    first, *rest = reduced
    return image_bytes(
        first, "GIF", save_all=True, append_images=rest, duration=durations, loop=0, optimize=True, comment=comment
    )


def save_gif(frames: Sequence[Image.Image], path: Path, **options: int) -> None:
    """Write frames as an endless GIF, with the options of `gif_bytes`, atomically."""
    write_atomically(path, gif_bytes(frames, **options))


@figure_style
def attention_map(weights: np.ndarray, rows: Sequence[str], columns: Sequence[str], title: str = "") -> Image.Image:
    """Return a heat map of attention weights with a label for every row and column; long labels are shortened.

    Columns in a script that is written from right to left are drawn from right to left. Maps of the same
    labels have the same size, whatever their title, so that they can be frames of a GIF.

    Args:
        weights: attention weights from 0 (pale) to 1 (dark), float [rows, columns].
        rows: the labels of the queries, the words of a translation.
        columns: the labels of the keys, the words of the source sentence.
        title: the title above the map.

    Raises:
        ValueError: the number of labels does not match the shape of the weights.
    """
    if np.shape(weights) != (len(rows), len(columns)):
        raise ValueError(f"expected weights {(len(rows), len(columns))}, got {np.shape(weights)}")
    rows, columns = ([_shortened(label) for label in labels] for labels in (rows, columns))
    left, top = (0.6 + 0.11 * max(map(_width, labels)) for labels in (rows, columns))  # inches
    width, height = left + max(0.36 * len(columns), 2.4) + 0.3, top + 0.36 * len(rows) + 0.5
    dpi = min(110, _MAX_SIDE / max(width, height))
    figure = Figure(figsize=(width, height), dpi=dpi, layout="constrained")
    axes = figure.subplots()
    axes.imshow(weights, cmap="Oranges", vmin=0, vmax=1, aspect="auto")
    # Ticks and labels are set together; otherwise matplotlib chooses the ticks.
    families = families_for("".join([*rows, *columns, title]))
    options = {"parse_math": False, "fontfamily": families}  # else $ starts a formula
    rotation = 90 if max(map(_width, columns)) > 3 else 0  # single Chinese characters stand upright
    axes.set_xticks(range(len(columns)), columns, rotation=rotation, **options)
    axes.set_yticks(range(len(rows)), rows, **options)
    if is_right_to_left(columns):
        axes.invert_xaxis()
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set_xlabel("source", color=FAINT)
    axes.set_ylabel("translation", color=FAINT)
    axes.set_xticks(np.arange(0.5, len(columns) - 1), minor=True)
    axes.set_yticks(np.arange(0.5, len(rows) - 1), minor=True)
    axes.grid(which="minor", color=PAPER, linewidth=1)
    axes.tick_params(which="both", length=0)
    axes.spines[:].set_visible(False)
    if title:
        lines = textwrap.wrap(title, max(20, round(width * 11)), max_lines=2)
        figure.suptitle("\n".join(lines), fontsize=10, color=INK, **options)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # families_for has said so
        return Image.frombytes("RGBA", *_render(figure)).convert("RGB")


def _shortened(label: str) -> str:
    return label if len(label) <= _MAX_LABEL else label[: _MAX_LABEL - 1] + "…"


def _width(label: str) -> int:
    """Return the width of a label in letters; East Asian characters count as two."""
    return sum(2 if unicodedata.east_asian_width(character) in "WF" else 1 for character in label)


def _render(figure: Figure) -> tuple[tuple[int, int], bytes]:
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return canvas.get_width_height(), bytes(canvas.buffer_rgba())
