import numpy as np
import pytest
from PIL import Image

from common.errors import UserError
from examples.image_captioning.download.image_files import (
    Photo,
    SkippedExamples,
    fingerprint,
    read_pixels,
    split_by_name,
)


def test_one_in_a_hundred_may_be_bad_and_no_more(capsys):
    skipped = SkippedExamples(["bad.jpg: empty"])
    skipped.report(100, "photos")
    assert capsys.readouterr().out == "left out: 1 of 100 photos\n  bad.jpg: empty\n"
    with pytest.raises(UserError, match="1 of 99 photos.*bad.jpg"):
        skipped.report(99, "photos")


def test_a_photo_is_squeezed_whole(tmp_path):
    picture = np.zeros((10, 40, 3), np.uint8)
    picture[:, 20:] = 255
    Image.fromarray(picture).save(tmp_path / "x.png")
    pixels = read_pixels(Photo("x", ["x"], "train", tmp_path / "x.png"), 16)
    assert pixels.shape == (16, 16, 3) and (pixels[:, :7] == 0).all() and (pixels[:, 9:] == 255).all()


def test_the_fingerprint_knows_order_and_content():
    one, two = (Photo("x", [], "train", None, digest) for digest in ("1", "2"))
    assert len({fingerprint(photos) for photos in ([one, two], [two, one], [one])}) == 3


def test_about_one_name_in_ten_validates_always_the_same():
    splits = [split_by_name(f"{number}.jpg") for number in range(2000)]
    assert 150 < splits.count("validation") < 260 and splits[0] == split_by_name("0.jpg")
