"""Fonts for text in any script: DejaVu, which comes with matplotlib, and where it lacks letters those of the system."""

import unicodedata
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font
from PIL import ImageDraw, ImageFont, features

from common.io.terminal import warn

_DEJAVU = Path(matplotlib.get_data_path()) / "fonts" / "ttf"
SANS, MONOSPACE, MONOSPACE_BOLD = (str(_DEJAVU / f"DejaVu{name}.ttf") for name in ("Sans", "SansMono", "SansMono-Bold"))
_STYLES = ("Bold", "Italic", "Oblique", "Light", "Thin", "Black", "Medium", "Condensed", "Serif", "Mono", "UI", "Color")
_EAST_ASIAN = ("CJK", "HIRAGANA", "KATAKANA", "HANGUL", "BOPOMOFO", "IDEOGRAPHIC", "FULLWIDTH")
"""First words of the names of the letters in fonts-noto-cjk."""
_reported: set[str] = set()
"""Letters of which a line on stderr has said that no font has them."""


def fonts_for(text: Iterable[str], base: str = SANS) -> list[str]:
    """Return the paths of the fonts that have the letters of `text`: `base` first, then fonts of the system.

    If no font has a letter, a line on stderr says once which package to install.
    """
    fonts = [base]
    missing = {letter for letter in set(text) if not _is_blank(letter) and not has_glyph(base, letter)}
    while missing:
        best = max(_system_fonts(), key=lambda path: sum(has_glyph(path, letter) for letter in missing), default=None)
        covered = {letter for letter in missing if best and has_glyph(best, letter)}
        if not covered:
            _report(missing)
            break
        fonts.append(best)
        missing -= covered
    return fonts


@cache
def has_glyph(path: str, letter: str) -> bool:
    """Return whether a font has a glyph for a letter; without one it draws a box."""
    font = _open(path)
    return font is not None and font.get_char_index(ord(letter)) != 0


@cache
def _open(path: str) -> FT2Font | None:
    try:
        font = FT2Font(path)
    except (RuntimeError, OSError):  # damaged, or of a format that FreeType does not know
        return None
    return font if font.scalable else None


@cache
def _system_fonts() -> list[str]:
    """Return the regular fonts of the system, those without serifs first."""
    paths = [path for path in font_manager.findSystemFonts() if not any(style in Path(path).stem for style in _STYLES)]
    return sorted(paths, key=lambda path: ("Sans" not in Path(path).stem, Path(path).name))


def _is_blank(letter: str) -> bool:
    """Return whether a character has no shape of its own: a space, a control or a format character."""
    return unicodedata.category(letter)[0] in "CZ" or "VARIATION SELECTOR" in unicodedata.name(letter, "")


def _report(missing: set[str]) -> None:
    new = sorted(missing - _reported)
    if not new:
        return
    _reported.update(new)
    packages = sorted({_package(letter) for letter in new})
    warn(
        f"note: no font on this machine has {len(new):,} of the letters, such as {' '.join(new[:3])}, so pictures show "
        f"boxes in their place; install {' and '.join(packages)} (names of Debian and Ubuntu)"
    )


def _package(letter: str) -> str:
    if unicodedata.name(letter, "").startswith(_EAST_ASIAN):
        return "fonts-noto-cjk"
    return "fonts-symbola" if unicodedata.category(letter) == "So" else "fonts-noto-core"


def families_for(text: Iterable[str]) -> list[str]:
    """Return the families for the labels of a matplotlib figure, with fallbacks for letters that DejaVu lacks."""
    return [_family(path) for path in fonts_for(text)]


@cache  # matplotlib lists a font again each time it is added
def _family(path: str) -> str:
    font_manager.fontManager.addfont(path)
    return font_manager.get_font(path).family_name


class Typesetter:
    """Draws text of one size with Pillow, each letter in the first font that has it."""

    def __init__(self, text: Iterable[str], size: int, bold: bool = False):
        """Choose the fonts for all letters in `text`; `size` in pixels."""
        self._paths = fonts_for(text, MONOSPACE_BOLD if bold else MONOSPACE)
        self._fonts = [ImageFont.truetype(path, size) for path in self._paths]

    def length(self, text: str) -> float:
        """Return the width of a line in pixels."""
        direction = _direction(text)
        return sum(font.getlength(run, direction=direction) for run, font in self._runs(text))

    def draw(
        self, draw: ImageDraw.ImageDraw, corner: tuple[float, float], text: str, fill: str, anchor: str = "la"
    ) -> None:
        """Draw a line of text with its anchor at `corner` (x, y), in pixels.

        The anchor is "l", "m" or "r" for the left end, the middle or the right end of the line, then "a" for the top of
        its letters or "m" for their middle, as in Pillow.
        """
        x, y = corner
        x -= {"l": 0, "m": 0.5, "r": 1}[anchor[0]] * self.length(text)
        baseline = y + self._fonts[0].getbbox("x", anchor="l" + anchor[1])[3]  # one for all fonts
        direction = _direction(text)
        for run, font in self._runs(text):
            draw.text((x, baseline), run, fill=fill, font=font, anchor="ls", direction=direction)
            x += font.getlength(run, direction=direction)

    def _runs(self, text: str) -> list[tuple[str, ImageFont.FreeTypeFont]]:
        """Return the parts of a line with their fonts, in the order in which they are drawn from left to right.

        Blanks and marks stay in the run before them, because a run of Arabic or Hindi is shaped as a whole.
        """
        runs: list[tuple[str, int]] = []
        for letter in text:
            number = runs[-1][1] if runs else 0
            if not _is_blank(letter) and not (runs and has_glyph(self._paths[number], letter)):
                number = next((n for n, path in enumerate(self._paths) if has_glyph(path, letter)), 0)
            if runs and runs[-1][1] == number:
                runs[-1] = (runs[-1][0] + letter, number)
            else:
                runs.append((letter, number))
        ordered = reversed(runs) if is_right_to_left(text) else runs
        return [(run, self._fonts[number]) for run, number in ordered]


def _direction(text: str) -> str | None:
    """Return the direction of a line for Pillow; without it, each of its runs would have one of its own."""
    return ("rtl" if is_right_to_left(text) else "ltr") if features.check("raqm") else None


def is_right_to_left(text: Sequence[str] | str) -> bool:
    """Return whether most letters of `text` belong to a script that is written from right to left."""
    directions = [unicodedata.bidirectional(letter) for letter in "".join(text)]
    return sum(d in ("R", "AL") for d in directions) > sum(d == "L" for d in directions)
