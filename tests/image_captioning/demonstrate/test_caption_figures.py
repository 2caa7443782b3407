import numpy as np
from PIL import Image

from common.app.outputs import Outputs
from examples.image_captioning.demo import Caption
from examples.image_captioning.demonstrate.caption_figures import draw_caption


def test_a_sky_in_the_gif_has_no_bands(tmp_path):
    sky = Image.fromarray(np.linspace([40, 90, 160], [250, 250, 255], 200 * 200).reshape(200, 200, 3).astype(np.uint8))
    caption = Caption(["blue", "sky"], np.full([2, 14, 14], 1 / 196), score=0.0)
    _, path = draw_caption(sky, caption, Outputs(tmp_path, maker="test"), "sky", source="sky")
    frame = np.asarray(Image.open(path).convert("RGB"), int)[:300, 180]  # a column of the photo, as the GIF shows it
    assert np.abs(np.diff(frame, axis=0)).max() <= 12
