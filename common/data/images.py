"""Pictures from anywhere, as they are meant to be seen: upright, opaque, 8 bits, grey or RGB; or refused by name."""

import io
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from common.errors import UserError
from common.io.files import open_plain, plain_files, write_atomically

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".gif", ".bmp"})
MAX_PIXELS = 50_000_000  # more than phones take; a few hundred kilobytes of PNG can claim to hold far more
MAX_SIDE = 30_000  # pixels; of a picture one pixel wide, the rows cost far more than the pixels

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP")  # of all that Pillow reads: fewer parsers for hostile files to try
_BROKEN = (OSError, SyntaxError, ValueError, ArithmeticError, LookupError, EOFError, zlib.error, MemoryError)


def image_paths(folder: Path) -> list[Path]:
    """Return the image files in `folder` and below, sorted by name; hidden ones and links are left out."""
    return [path for path in plain_files(folder) if path.suffix.lower() in SUFFIXES]


def read_image(path: Path) -> Image.Image:
    """Return the picture in a file, in mode "L" if it is grey and "RGB" if it has colour.

    The first frame of a GIF; turned as EXIF says; transparent parts on white; 16 bits a channel cut to 8; palettes and
    CMYK as RGB.

    Raises:
        UserError: it cannot be read as PNG, JPEG, WebP, GIF or BMP, whole; it has more than `MAX_PIXELS`, or more than
            `MAX_SIDE` on one side; it is a folder, a pipe or a device.
    """
    try:
        with open_plain(path, follow_links=True) as file:
            return _decode(path, file)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror or error}); check the path and its permissions"
        ) from error


def _decode(path: Path, file: BinaryIO) -> Image.Image:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is lower, and an error
            with Image.open(file, formats=_FORMATS) as image:
                _check_size(path, image)
                image.load()
                return _flatten(ImageOps.exif_transpose(image))
    except UnidentifiedImageError as error:
        raise UserError(f"{path}: {_what_is(file)}; expected a PNG, JPEG, WebP, GIF or BMP picture") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{path}: claims an absurd number of pixels; shrink the picture, or leave it out") from error
    except _BROKEN as error:
        if isinstance(error, OSError) and error.errno:  # of the system, not of Pillow: the picture may be good
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: damaged or cut off ({reason}); replace the picture, or leave it out") from error


def image_bytes(image: Image.Image, form: str, **options: object) -> bytes:
    """Return a picture as the bytes of a file.

    Args:
        image: the picture.
        form: "PNG" or "GIF".
        options: as `Image.save` takes them for this format.
    """
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def save_image(image: Image.Image, path: Path) -> None:
    """Write a picture as PNG; the file appears whole."""
    write_atomically(path, image_bytes(image, "PNG"))


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
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise UserError(
            f"{path}: {width} x {height} pixels, more than the {MAX_PIXELS // 10**6} million, or the {MAX_SIDE:,} on a "
            "side, that are read; shrink it"
        )


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16 bits of grey, which convert() would clip instead of scale
        return Image.fromarray((np.asarray(image).astype(np.uint32) >> 8).clip(0, 255).astype(np.uint8))
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("L" if image.mode == "LA" else "RGB")
    return image.convert("L" if image.mode in ("1", "L") else "RGB")


def _what_is(file: BinaryIO) -> str:
    file.seek(0)
    start = file.read(256).lstrip().lower()
    if not start:
        return "the file is empty"
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        return "it is an HTML or XML page, not a picture"
    return "not a picture that can be read"
