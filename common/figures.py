"""Pictures that every example draws: learning curves, frames of text, GIFs. Drawn off screen, saved as PNG and GIF."""

import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from PIL import Image, ImageDraw, ImageFont

INK, FAINT, PAPER, ACCENT, SECOND = "#1f2430", "#8a90a0", "#ffffff", "#c2410c", "#2563eb"


def learning_curve(rows: Sequence[Mapping[str, float]], path: Path, unit: str, baseline: tuple[str, float]) -> None:
    """Draw loss and validation loss against the epoch.

    Args:
        rows: the rows of metrics.csv, at least one.
        path: PNG to write.
        unit: of the losses, for the axis.
        baseline: name and value of a line to compare with, for instance the loss of pure guessing.
    """
    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    axes = figure.subplots()
    epochs = [row["epoch"] for row in rows]
    axes.plot(epochs, [row["loss"] for row in rows], "o-", color=SECOND, label="training")
    if "val_loss" in rows[0]:
        losses = [row["val_loss"] for row in rows]
        axes.plot(epochs, losses, "o-", color=ACCENT, label="validation")
        best = min(range(len(losses)), key=losses.__getitem__)
        axes.annotate(
            f"best {losses[best]:.3f}", (epochs[best], losses[best]), xytext=(0, 10), textcoords="offset points",
            ha="center", color=ACCENT,
        )  # fmt: skip
    name, value = baseline
    axes.axhline(value, color=FAINT, linestyle=":", label=f"{name} ({value:.2f})")
    axes.set_xlabel("epoch")
    axes.set_ylabel(unit)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    figure.savefig(path)


def monospace(size: int, bold: bool = False) -> ImageFont.FreeTypeFont:
    """Return the monospaced font that comes with matplotlib, so that pictures look the same on every machine."""
    name = "DejaVuSansMono-Bold.ttf" if bold else "DejaVuSansMono.ttf"
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / name, size)


def text_frame(title: str, text: str, prompt_length: int = 0, columns: int = 64, lines: int = 18) -> Image.Image:
    """Return a picture of `text` under a title, always of the same size for the same `columns` and `lines`.

    Args:
        title: one line.
        text: wrapped at `columns`; what does not fit in `lines` is left out.
        prompt_length: so many characters at the start are drawn in another colour.
        columns: characters a line.
        lines: lines of text.
    """
    font, margin = monospace(15), 24
    advance, line_height = font.getlength("m"), 22
    size = (round(2 * margin + columns * advance), 2 * margin + (lines + 2) * line_height)
    image = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(image)
    draw.text((margin, margin), title, fill=ACCENT, font=monospace(15, bold=True))
    drawn = 0
    for number, line in enumerate(_wrap(text, columns)[:lines]):
        y = margin + (number + 2) * line_height
        in_prompt = max(0, min(len(line), prompt_length - drawn))
        draw.text((margin, y), line[:in_prompt], fill=SECOND, font=font)
        draw.text((margin + in_prompt * advance, y), line[in_prompt:], fill=INK, font=font)
        drawn += len(line) + 1
    return image


def _wrap(text: str, columns: int) -> list[str]:
    wrapper = textwrap.TextWrapper(columns, replace_whitespace=False, drop_whitespace=False)
    return [piece for line in text.expandtabs(4).splitlines() for piece in (wrapper.wrap(line) or [""])]


def save_gif(frames: Sequence[Image.Image], path: Path, frame_ms: int = 900, last_ms: int = 4000) -> None:
    """Write frames of one size as an endless GIF whose last frame is held longer.

    Args:
        frames: at least one, in the order shown.
        path: GIF to write.
        frame_ms: how long a frame is shown, in milliseconds.
        last_ms: how long the last one is.
    """
    durations = [frame_ms] * (len(frames) - 1) + [last_ms]
    first, *rest = [frame.convert("P", palette=Image.Palette.ADAPTIVE, colors=32) for frame in frames]
    first.save(path, save_all=True, append_images=rest, duration=durations, loop=0, optimize=True)
