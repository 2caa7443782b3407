"""Pictures from anywhere, as they are meant to be seen: upright, opaque, 8 bits, grey or RGB; or refused by name."""

import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from common.errors import UserError

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"})
MOST_PIXELS = 50_000_000  # more than phones take; a few hundred kilobytes of PNG can claim to hold far more

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")  # of all that Pillow reads: fewer parsers for hostile files to try
_BROKEN = (OSError, SyntaxError, ValueError, ArithmeticError, LookupError, EOFError, zlib.error, MemoryError)


def image_paths(folder: Path) -> list[Path]:
    """Return the image files in `folder` and the folders in it, sorted by name; hidden ones are left out."""
    return sorted(
        path
        for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES
        and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )


def read_image(path: Path) -> Image.Image:
    """Return the picture in a file, in mode "L" if it is grey and "RGB" if it has colour.

    The first frame of a GIF; turned as EXIF says; transparent parts on white; 16 bits a channel cut to 8; palettes and
    CMYK as RGB.

    Raises:
        UserError: it cannot be read as PNG, JPEG, WebP, GIF or BMP, whole, or has more than `MOST_PIXELS`.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is lower, and an error
            with Image.open(path, formats=_FORMATS) as image:
                _check_size(path, image)
                image.load()
                return _flatten(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise UserError(f"{path}: {_what_is(path)}; expected a PNG, JPEG, WebP, GIF or BMP picture") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{path}: claims an absurd number of pixels; shrink the picture, or leave it out") from error
    except _BROKEN as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: damaged or cut off ({reason}); replace the picture, or leave it out") from error


def crop_square(image: Image.Image, size: int) -> Image.Image:
    """Return the largest square in the middle of a picture, resized to `size` x `size` pixels."""
    return ImageOps.fit(image, (size, size), Image.Resampling.LANCZOS)


def grid(pictures: Sequence[np.ndarray] | np.ndarray, columns: int, scale: int = 1, gap: int = 2) -> Image.Image:
    """Lay out pictures in rows.

    Args:
        pictures: uint8 [N, H, W, C], C being 1 (grey) or 3 (RGB).
        columns: how many to a row; the last row may have fewer.
        scale: each pixel becomes so many, squared.
        gap: white pixels between two pictures and around them all.
    """
    count, height, width, channels = np.shape(pictures)
    rows = -(-count // columns)  # rounded up
    height, width = height * scale + gap, width * scale + gap
    sheet = Image.new("L" if channels == 1 else "RGB", (columns * width + gap, rows * height + gap), "white")
    for number, pixels in enumerate(pictures):
        row, column = divmod(number, columns)
        large = np.repeat(np.repeat(pixels, scale, axis=0), scale, axis=1)  # H W C
        sheet.paste(from_pixels(large), (gap + column * width, gap + row * height))
    return sheet


def from_pixels(pixels: np.ndarray) -> Image.Image:
    """Return uint8 [H, W, C], C being 1 (grey) or 3 (RGB), as a picture."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def _check_size(path: Path, image: Image.Image) -> None:
    width, height = image.size
    if width * height > MOST_PIXELS:
        raise UserError(
            f"{path}: {width} x {height} pixels, more than the {MOST_PIXELS // 10**6} million that are read; shrink it"
        )


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey, which convert() would clip instead of scale
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("L" if image.mode == "LA" else "RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _what_is(path: Path) -> str:
    with open(path, "rb") as file:
        start = file.read(256).lstrip().lower()
    if not start:
        return "the file is empty"
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        return "it is an HTML or XML page, not a picture"
    return "not a picture that can be read"
