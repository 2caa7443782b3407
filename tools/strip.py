"""Compose the picture at the top of README.md from pictures of the four examples: python -m tools.strip."""

from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageDraw

from common.viz import figures
from common.viz.fonts import Typesetter

ROOT = Path(__file__).parent.parent
STRIP = ROOT / "images" / "strip.webp"
GAP, TITLE = 16, 56  # pixels: between panels (transparent, so that it suits light and dark pages); for a title


@dataclass(frozen=True)
class Panel:
    """A title with a picture, or with its upper left corner: in full, text would be too small to read on a phone."""

    title: str
    picture: str
    size: tuple[int, int]
    """Width and height in pixels, without the title."""
    part: int | None = None
    """So many pixels of the picture's width are shown, as tall as fits; None: all of it."""


ROWS = (
    (
        Panel("It writes", "text_generation/images/training.gif", (768, 352), part=530),
        Panel("It draws", "dcgan/images/samples.png", (420, 352), part=350),
    ),
    (
        Panel("It translates", "nmt_attention/images/attention.png", (420, 420), part=382),
        Panel("It describes", "image_captioning/images/attention.png", (768, 420)),
    ),
)


def compose() -> Image.Image:
    """Return the panels in their rows, RGBA."""
    rows = [[draw(panel) for panel in row] for row in ROWS]
    width = max(sum(panel.width for panel in row) + GAP * (len(row) - 1) for row in rows)
    height = sum(row[0].height for row in rows) + GAP * (len(rows) - 1)
    strip = Image.new("RGBA", (width, height))
    y = 0
    for row in rows:
        x = 0
        for panel in row:
            strip.paste(panel, (x, y))
            x += panel.width + GAP
        y += row[0].height + GAP
    return strip


def draw(panel: Panel) -> Image.Image:
    """Return a panel with its title, RGB."""
    width, height = panel.size
    with Image.open(ROOT / "examples" / panel.picture) as opened:
        opened.seek(getattr(opened, "n_frames", 1) - 1)  # of a GIF the end
        picture = opened.convert("RGB")
    if panel.part:
        picture = picture.crop((0, 0, panel.part, panel.part * height // width))
    scale = min(width / picture.width, height / picture.height)
    picture = picture.resize((round(scale * picture.width), round(scale * picture.height)), Image.Resampling.LANCZOS)
    card = Image.new("RGB", (width, TITLE + height), figures.PAPER)
    setter = Typesetter(panel.title, 32, bold=True)
    setter.draw(ImageDraw.Draw(card), (GAP, TITLE / 2), panel.title, figures.ACCENT, anchor="lm")
    card.paste(picture, ((width - picture.width) // 2, TITLE + (height - picture.height) // 2))
    return card


def main() -> None:
    """Write the strip."""
    STRIP.parent.mkdir(exist_ok=True)
    compose().save(STRIP, quality=85)
    print(f"{STRIP.relative_to(ROOT)}: {STRIP.stat().st_size / 1000:.0f} KB")


if __name__ == "__main__":
    main()
