import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageOps

from common.data import images
from common.data.images import crop, decode_image, grid, image_bytes, image_paths
from common.errors import UserError


def test_the_middle_square_is_kept():
    wide = Image.new("L", (30, 10))
    wide.paste(255, (10, 0, 20, 10))
    assert np.asarray(crop(wide, 5, 5)).min() > 230  # the filter blurs the edges a little


def test_images_are_found_in_folders_and_in_order(tmp_path):
    for name in ("b.PNG", "sub/a.jpeg", ".hidden.png", ".thumbs/a.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in image_paths(tmp_path)] == ["b.PNG", "a.jpeg"]


def test_a_grid_has_every_picture_in_its_place():
    pictures = np.arange(1, 6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 1), np.uint8)
    sheet = np.asarray(grid(pictures, columns=3, scale=2))
    assert sheet.shape == (2 * 6 + 2, 3 * 8 + 2)
    assert [[sheet[3 + 6 * row, 3 + 8 * column] for column in range(3)] for row in range(2)] == [[1, 2, 3], [4, 5, 255]]
    assert sheet[0, 0] == sheet[6, 6] == 255
    assert images.from_pixels(np.zeros((2, 2, 3), np.uint8)).mode == "RGB"


def test_the_bytes_of_a_file_pass_the_checks_of_the_file():
    content = image_bytes(Image.new("RGB", (64, 48), "red"), "PNG")
    assert decode_image(io.BytesIO(content), "a.png").size == (64, 48)
    for wrong, problem in ((content[:60], "damaged or cut off"), (b"", "empty"), (b"<html>", "HTML or XML page")):
        with pytest.raises(UserError, match=f"^a.png: .*{problem}"):
            decode_image(io.BytesIO(wrong), "a.png")


@pytest.mark.parametrize(
    ("dtype", "values", "grey"),
    [
        ("<u2", [0, 256, 65_535], [0, 1, 255]),
        ("<i4", [-5, 65_535, 70_000], [0, 255, 255]),
        ("<i4", [0, 100, 255], [0, 100, 255]),
    ],
)
def test_tiffs_of_more_than_eight_bits_are_scaled(dtype, values, grey):
    file = io.BytesIO()
    Image.fromarray(np.array([values], dtype)).save(file, "TIFF")
    assert np.asarray(decode_image(file, "a.tif")).tolist() == [grey]


@pytest.mark.parametrize("form", ["PNG", "WEBP", "JPEG"])
@pytest.mark.parametrize("tags", [b"Exif\0\0II*\0", b"Exif\0\0II*\0\x08\0", b"Exif\0\0none at all"])
def test_damaged_tags_leave_a_picture_as_it_is(form, tags):
    file = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(file, form, exif=tags)
    assert decode_image(file, "a").size == (8, 6)


def test_a_tiff_with_a_tag_of_another_type_is_damaged():
    file = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(file, "TIFF")
    content = bytearray(file.getvalue())
    content[72] = 2  # a number of this tag is now a text, in Pillow's order of the tags
    with pytest.raises(UserError, match="^a: damaged or cut off"):
        decode_image(io.BytesIO(content), "a")


def exif(*entries):
    """Return EXIF data with these tags, each a number, a type, a count and bytes, as TIFF writes them."""
    directory, values = struct.pack("<H", len(entries)), b""
    for number, kind, count, value in entries:
        place = 8 + 2 + 12 * len(entries) + 4 + len(values)  # of a value of more than four bytes
        directory += struct.pack("<HHI", number, kind, count)
        directory += value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", place)
        values += value if len(value) > 4 else b""
    return b"Exif\0\0II*\0" + struct.pack("<I", 8) + directory + bytes(4) + values


@pytest.mark.parametrize(
    "odd",
    [(0x011A, 2, 5, b"high\0"), (0x0213, 2, 7, b"middle\0"), (0x0131, 11, 1, struct.pack("<f", 2.5))],
    ids=["resolution is a text", "position is a text", "software is a number"],
)
def test_a_photo_is_turned_upright_whatever_type_its_other_tags_have(odd):
    tags = exif(*sorted([(0x0112, 3, 1, struct.pack("<H", 6)), odd]))
    content = image_bytes(Image.new("RGB", (64, 48), "red"), "JPEG", exif=tags)
    assert decode_image(io.BytesIO(content), "a.jpg").size == (48, 64)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_an_orientation_means_what_pillow_says(orientation):
    photo = Image.fromarray(np.random.default_rng(1).integers(0, 256, [16, 24, 3], np.uint8))
    tags = Image.Exif()
    tags[0x0112] = orientation
    content = image_bytes(photo, "PNG", exif=tags)
    expected = ImageOps.exif_transpose(Image.open(io.BytesIO(content)))
    assert np.array_equal(decode_image(io.BytesIO(content), "a.png"), expected)
