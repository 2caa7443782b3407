from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from common.app.outputs import Outputs
from common.training.run_directory import RunDirectory
from common.training.samples import sample_path
from examples.image_captioning.demo import Caption
from examples.image_captioning.demonstrate import attention_overlay
from examples.image_captioning.demonstrate.caption_figures import (
    CaptionSamples,
    _to_one_size,
    draw_caption,
    sample_photos,
)


def test_a_sky_in_the_gif_has_no_bands(tmp_path):
    sky = Image.fromarray(np.linspace([40, 90, 160], [250, 250, 255], 200 * 200).reshape(200, 200, 3).astype(np.uint8))
    caption = Caption(["sky"], np.full([1, 14, 14], 1 / 196), score=0.0)
    _, path = draw_caption(sky, caption, Outputs(tmp_path, maker="test"), "sky", source="sky")
    [drawn] = attention_overlay.frames(sky, caption.words, caption.attention)
    shown, drawn = (np.asarray(picture.convert("RGB"), float)[:360, :360] for picture in (Image.open(path), drawn))
    of_rows = np.abs(
        shown.mean(axis=1) - drawn.mean(axis=1)
    )  # [rows, channels]: right on average, where it is dithered
    assert of_rows.mean() < 0.8


@pytest.mark.parametrize(("count", "chosen"), [(2, [0, 1]), (6, [0, 1, 2, 3, 4, 5]), (60, [3, 13, 23, 33, 43, 53])])
def test_the_photos_shown_are_spread_over_the_set(count, chosen):
    assert sample_photos(range(count)) == chosen


def test_frames_of_several_sizes_keep_their_top_left_corner():
    pictures = _to_one_size([Image.new("RGB", (4, 8), "red"), Image.new("RGB", (6, 2), "blue")])
    assert [picture.size for picture in pictures] == [(6, 8)] * 2
    corners = [[picture.getpixel(place) for place in ((0, 0), (5, 7))] for picture in pictures]
    assert corners == [[(255, 0, 0), (255, 255, 255)], [(0, 0, 255), (255, 255, 255)]]


class TwoPhotos:
    pictures = [Image.new("RGB", (4, 4), colour) for colour in ("red", "blue")]
    photos = [SimpleNamespace(name=f"{n}.jpg", open=lambda n=n: TwoPhotos.pictures[n]) for n in range(2)]

    def __len__(self):
        return 2

    def read(self, indices):
        return indices


def test_the_sheet_of_an_epoch_shows_the_first_photo_with_its_own_caption(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(attention_overlay, "sheet", lambda *given: drawn.append(given) or Image.new("RGB", (4, 4)))

    def caption(images, beam):
        return [Caption([f"word{number}"], np.ones([1, 1, 1]), score=0.0) for number in images]

    run = RunDirectory.start(tmp_path / "run", "image_captioning", {}, {})
    CaptionSamples(run, SimpleNamespace(caption=caption), TwoPhotos()).write(2, {"val_loss": 1.5})
    [(image, words, _, title)] = drawn
    assert image is TwoPhotos.pictures[0] and words == ["word0"]
    assert title == "after epoch 2: 1.500 nats a word\nword0"
    assert sample_path(run, 2).read_text() == "0.jpg: word0\n1.jpg: word1\n"
