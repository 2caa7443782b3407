import numpy as np
from PIL import Image

from common.data.skipped import SkippedExamples
from examples.image_captioning.download.image_files import Photo, fingerprint, hash_photos, resize, split_by_name


def test_a_photo_is_squeezed_whole(tmp_path):
    picture = np.zeros((10, 40, 3), np.uint8)
    picture[:, 20:] = 255
    Image.fromarray(picture).save(tmp_path / "x.png")
    pixels = resize(Photo("x", ["x"], "train", tmp_path / "x.png").open(), 16)
    assert pixels.shape == (16, 16, 3) and (pixels[:, :7] == 0).all() and (pixels[:, 9:] == 255).all()


def test_the_fingerprint_knows_order_and_content():
    one, two = (Photo("x", [], "train", None, digest) for digest in ("1", "2"))
    assert len({fingerprint(photos) for photos in ([one, two], [two, one], [one])}) == 3


def test_copies_of_a_photo_are_in_one_split_unless_the_data_say_otherwise(tmp_path):
    def photo(name, content, split, is_split_given=False):
        (tmp_path / name).write_text(content)
        return Photo(name, ["x"], split, tmp_path / name, is_split_given=is_split_given)

    photos = [
        photo("a", "1", "validation"), photo("b", "2", "train"), photo("a copy", "1", "train"),
        photo("c", "3", "train"), photo("c given", "3", "test", True), photo("c also given", "3", "train", True),
    ]  # fmt: skip
    found = hash_photos(photos, SkippedExamples())
    assert [photo.split for photo in found] == ["validation", "train", "validation", "test", "test", "train"]


def test_about_one_name_in_ten_validates_always_the_same():
    splits = [split_by_name(f"{number}.jpg") for number in range(2000)]
    assert 150 < splits.count("validation") < 260 and splits[0] == split_by_name("0.jpg")
