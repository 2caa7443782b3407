import numpy as np
from PIL import Image

from common.app.outputs import Outputs
from examples.image_captioning.demo import Caption
from examples.image_captioning.demonstrate import attention_overlay
from examples.image_captioning.demonstrate.caption_figures import draw_caption


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
