import numpy as np
import pytest
from PIL import Image

from common import images
from common.errors import UserError
from common.images import crop_square, grid, image_paths, read_image


def half_red(mode="RGB"):
    """A picture of 6 x 4 pixels whose left half is red, whose right half is white."""
    picture = Image.new("RGB", (6, 4), "white")
    picture.paste("red", (0, 0, 3, 4))
    return picture.convert(mode)


def saved(folder, picture, name, **options):
    picture.save(folder / name, **options)
    return folder / name


def pixel(path, x, y):
    return read_image(path).getpixel((x, y))


@pytest.mark.parametrize("name", ["p.png", "p.gif", "p.bmp", "p.webp"])
def test_every_format_gives_the_same_picture(tmp_path, name):
    path = saved(tmp_path, half_red(), name, **({"lossless": True} if name.endswith("webp") else {}))
    assert read_image(path).mode == "RGB"
    assert (pixel(path, 0, 0), pixel(path, 5, 0)) == ((255, 0, 0), (255, 255, 255))


def test_cmyk_jpeg_keeps_its_colours(tmp_path):
    red, green, blue = pixel(saved(tmp_path, half_red("CMYK").resize((60, 40)), "p.jpg"), 5, 5)
    assert red > 200 and green < 60 and blue < 60


@pytest.mark.parametrize("mode", ["1", "L"])
def test_grey_stays_grey(tmp_path, mode):
    assert read_image(saved(tmp_path, Image.new(mode, (3, 3)), "p.png")).mode == "L"


def test_sixteen_bits_are_scaled_not_clipped(tmp_path):
    values = np.array([[0, 0x1234, 0x8000, 0xFFFF]], np.uint16)
    path = saved(tmp_path, Image.fromarray(values), "p.png")
    assert [pixel(path, x, 0) for x in range(4)] == [0, 0x12, 0x80, 0xFF]


def test_transparent_parts_are_white(tmp_path):
    assert pixel(saved(tmp_path, Image.new("RGBA", (2, 2), (255, 0, 0, 0)), "p.png"), 0, 0) == (255, 255, 255)
    assert pixel(saved(tmp_path, Image.new("RGBA", (2, 2), (0, 0, 0, 128)), "h.png"), 0, 0) == (127, 127, 127)
    assert pixel(saved(tmp_path, Image.new("LA", (2, 2), (0, 0)), "g.png"), 0, 0) == 255
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([0, 0, 0, 255, 0, 0])
    assert pixel(saved(tmp_path, palette, "q.png", transparency=1), 0, 0) == (255, 255, 255)


def test_it_is_turned_as_the_camera_was(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # held so that it must be turned a quarter clockwise
    path = saved(tmp_path, half_red(), "p.png", exif=exif)
    assert read_image(path).size == (4, 6)
    assert (pixel(path, 0, 0), pixel(path, 0, 5)) == ((255, 0, 0), (255, 255, 255))


def write(content):
    return lambda path: path.write_bytes(content)


def cut_off(path):
    Image.effect_noise((64, 64), 50).save(path, "PNG")
    path.write_bytes(path.read_bytes()[:500])


def bomb(path):
    Image.new("L", (8000, 8000)).save(path, "PNG")


BAD = {
    "empty": (write(b""), "is empty"),
    "html": (write(b"<!DOCTYPE html><p>Please log in"), "HTML"),
    "noise": (write(bytes(range(256))), "not a picture"),
    "cut off": (cut_off, "cut off"),
    "too large": (bomb, "8000 x 8000 pixels, more than the 50 million"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_files_are_refused_by_name(tmp_path, case):
    make, message = BAD[case]
    path = tmp_path / "bad.png"
    make(path)
    with pytest.raises(UserError) as refusal:
        read_image(path)
    assert str(path) in str(refusal.value) and message in str(refusal.value)


def test_no_format_beyond_the_list_is_tried(tmp_path):
    Image.new("L", (2, 2)).save(tmp_path / "p.png", "TIFF")
    with pytest.raises(UserError, match="not a picture"):
        read_image(tmp_path / "p.png")


def test_the_middle_square_is_kept():
    wide = Image.new("L", (30, 10))
    wide.paste(255, (10, 0, 20, 10))
    assert np.asarray(crop_square(wide, 5)).min() > 230  # the filter blurs the edges a little


def test_images_are_found_in_folders_and_in_order(tmp_path):
    for name in ("b.PNG", "sub/a.jpeg", ".hidden.png", ".thumbs/a.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [path.name for path in image_paths(tmp_path)] == ["b.PNG", "a.jpeg"]


def test_a_grid_has_every_picture_in_its_place():
    pictures = np.arange(1, 6, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 1), np.uint8)
    sheet = np.asarray(grid(pictures, columns=3, scale=2, gap=1))
    assert sheet.shape == (2 * 5 + 1, 3 * 7 + 1)
    assert [[sheet[2 + 5 * row, 2 + 7 * column] for column in range(3)] for row in range(2)] == [[1, 2, 3], [4, 5, 255]]
    assert sheet[0, 0] == sheet[5, 5] == 255
    assert images.from_pixels(np.zeros((2, 2, 3), np.uint8)).mode == "RGB"
