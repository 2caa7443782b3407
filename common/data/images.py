"""Safe reading of images of any origin, converted to upright, opaque 8-bit grey or RGB; writing of images."""

import io
import struct
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from common.data.skipped import files_of_kind
from common.errors import UserError
from common.io.files import open_plain, write_atomically

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff"})
MAX_PIXELS = 50_000_000  # more than phones take; a PNG of a few hundred kilobytes can decode to far more
MAX_SIDE = 30_000  # pixels; in an image one pixel wide, the rows cost far more memory than the pixels

_FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # Pillow reads more formats; a file could attack their parsers
_DAMAGED = (
    OSError, SyntaxError, ValueError, TypeError, ArithmeticError, LookupError, EOFError, MemoryError, struct.error,
    zlib.error,
)  # fmt: skip
_TURNS = {  # by EXIF orientation; 1 is upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_GAP = 2  # pixels around the images of a grid


def image_paths(folder: Path) -> list[Path]:
    """Return the image files in `folder` and below, sorted by name, without hidden files and links."""
    return files_of_kind(folder, SUFFIXES, "pictures")


def read_image(path: Path) -> Image.Image:
    """Return the image in a file, in mode "L" if it is grey, else "RGB".

    Of a GIF or a TIFF, the first frame is returned. The EXIF orientation is applied. Transparent pixels become white,
    16 bits per channel are cut to 8, and palettes and CMYK are converted to RGB.

    Raises:
        UserError: it is not a complete PNG, JPEG, WebP, GIF, BMP or TIFF; it has more than `MAX_PIXELS` pixels, or more
            than `MAX_SIDE` on one side; or it is a folder, a pipe or a device.
    """
    try:
        with open_plain(path, follow_links=True) as file:
            return decode_image(file, path)
    except OSError as error:
        raise UserError(
            f"{path}: cannot be read ({error.strerror or error}); check the path and its permissions"
        ) from error


def decode_image(file: BinaryIO, path: Path | str) -> Image.Image:
    """Return the image in an open file, for instance an upload; `path` is for the error messages.

    Raises:
        UserError: as in `read_image`.
        OSError: the file cannot be read.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # _check_size has a lower limit
            with Image.open(file, formats=_FORMATS) as image:
                _check_size(path, image)
                image.load()
                return _flatten(_upright(image))
    except UnidentifiedImageError as error:
        raise UserError(f"{path}: {_describe(file)}; expected a PNG, JPEG, WebP, GIF, BMP or TIFF picture") from error
    except Image.DecompressionBombError as error:
        raise UserError(f"{path}: far too many pixels; shrink the picture, or leave it out") from error
    except _DAMAGED as error:
        if isinstance(error, OSError) and error.errno:  # an error of the system, not of Pillow; the image may be valid
            raise
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(f"{path}: damaged or cut off ({reason}); replace the picture, or leave it out") from error


def image_bytes(image: Image.Image, form: str, **options: object) -> bytes:
    """Return an image as the bytes of a file: "PNG", "GIF" or "JPEG", with the options of `Image.save` for it."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def save_image(image: Image.Image, path: Path) -> None:
    """Write an image as PNG, atomically."""
    write_atomically(path, image_bytes(image, "PNG"))


def crop(image: Image.Image, height: int, width: int) -> Image.Image:
    """Return the largest part of these proportions in the centre of an image, resized to `height` x `width` pixels."""
    return ImageOps.fit(image, (width, height), Image.Resampling.LANCZOS)


def grid(pictures: Sequence[np.ndarray] | np.ndarray, columns: int, scale: int = 1) -> Image.Image:
    """Return a sheet of images, uint8 [N, H, W, C] where C is 1 (grey) or 3 (RGB), in rows of `columns`.

    There are white gaps between them. Both sides of an image grow by the factor `scale`.
    """
    count, height, width, channels = np.shape(pictures)
    rows = -(-count // columns)  # rounded up
    height, width = height * scale + _GAP, width * scale + _GAP
    sheet = Image.new("L" if channels == 1 else "RGB", (columns * width + _GAP, rows * height + _GAP), "white")
    for index, pixels in enumerate(pictures):
        row, column = divmod(index, columns)
        large = np.repeat(np.repeat(pixels, scale, axis=0), scale, axis=1)  # H W C
        sheet.paste(from_pixels(large), (_GAP + column * width, _GAP + row * height))
    return sheet


def from_pixels(pixels: np.ndarray) -> Image.Image:
    """Return pixels, uint8 [H, W, C] where C is 1 (grey) or 3 (RGB), as an image."""
    return Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)


def _check_size(path: Path | str, image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE:
        raise UserError(
            f"{path}: {width} x {height} pixels, expected at most {MAX_PIXELS // 10**6} million, and at most "
            f"{MAX_SIDE:,} on a side; shrink it"
        )


def _upright(image: Image.Image) -> Image.Image:
    """Return an image turned by its EXIF orientation.

    `ImageOps.exif_transpose` also writes all other tags anew, which fails if one has another type than it should.
    """
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    except (SyntaxError, struct.error):  # the tags are damaged, the pixels are not
        turn = None
    return image if turn is None else image.transpose(turn)


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey, also in 32 bits; convert() would clip it instead of scaling it
        values = np.asarray(image).clip(0, 65_535)
        is_of_bytes = image.mode == "I" and values.max() < 256
        return Image.fromarray((values if is_of_bytes else values >> 8).astype(np.uint8))
    if image.mode == "F":  # TIFF of real numbers, of no fixed range
        values = np.nan_to_num(np.asarray(image))
        low, high = float(values.min()), float(values.max())
        return Image.fromarray(np.uint8(255 * (values - low) / max(high - low, 1e-9)))
    is_grey = image.mode in ("1", "L", "LA")
    if image.has_transparency_data:
        opaque = Image.new("RGBA", image.size, "white")
        opaque.alpha_composite(image.convert("RGBA"))
        return opaque.convert("L" if is_grey else "RGB")
    return image.convert("L" if is_grey else "RGB")


def _describe(file: BinaryIO) -> str:
    file.seek(0)
    start = file.read(256).lstrip().lower()
    if not start:
        return "the file is empty"
    if start.startswith((b"<!doctype", b"<html", b"<?xml", b"<svg")):
        return "it is an HTML or XML page, not a picture"
    return "not a picture that Pillow can read"
