import base64
import io
import json
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from common.data.images import read_image
from common.nn.beam_search import Hypotheses
from examples.image_captioning import export as exporting
from examples.image_captioning.demo import PhotoCaptioner
from examples.image_captioning.download.toy_scenes import make_scenes
from examples.image_captioning.export import BEAM, _lay_on_white, export
from examples.image_captioning.vocabulary import END
from tests.tensorflow_serving import predict

READER = """
import json, sys, tensorflow as tf
served = tf.saved_model.load(sys.argv[1]).signatures["serving_default"]
for name in sys.argv[2:]:
    found = served(image=tf.constant(open(name, "rb").read()), length_penalty=tf.constant(0.7))
    print(json.dumps([found["caption"].numpy().decode(), found["attention"].numpy().tolist()]))
try:
    served(image=tf.constant(b"<html>"), length_penalty=tf.constant(0.7))
except tf.errors.InvalidArgumentError as error:
    print("refused")
"""


@pytest.fixture(scope="module")
def captioner(trained):
    return PhotoCaptioner.load(trained)


def test_a_process_without_this_code_says_the_same_and_looks_the_same_way(captioner, tmp_path):
    export(captioner, tmp_path / "model", "maker")
    scenes = [scene.draw() for scene in make_scenes(3, 5, held_out=False)]
    names = ["0.png", "1.png", "2.bmp"]
    for name, scene in zip(names, scenes, strict=True):
        scene.save(tmp_path / name)
    command = [sys.executable, "-c", READER, str(tmp_path / "model"), *names]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, check=True, text=True)
    *answers, last = done.stdout.splitlines()
    assert last == "refused"
    for answer, scene in zip(answers, scenes, strict=True):
        expected = captioner.caption_image(scene, BEAM)
        text, attention = json.loads(answer)
        assert text == expected.text
        np.testing.assert_allclose(attention, expected.attention, atol=1e-4)


def test_a_caption_without_end_has_as_many_words_as_one_with(captioner, tmp_path):
    bias = captioner.model.deep_output.logits.bias
    before = bias.numpy()
    bias.assign(np.where(np.arange(len(before)) == END, -1e6, before))
    served = tf.saved_model.load(export(captioner, tmp_path / "model", "maker")).signatures["serving_default"]
    bias.assign(before)
    [scene] = make_scenes(1, 5, held_out=False)
    scene.draw().save(tmp_path / "scene.png")
    found = served(image=tf.constant((tmp_path / "scene.png").read_bytes()), length_penalty=tf.constant(0.7))
    assert len(found["words"]) == len(found["attention"]) == captioner.max_length


def test_transparent_parts_of_a_png_are_white(captioner, tmp_path):
    served = tf.saved_model.load(export(captioner, tmp_path / "model", "maker")).signatures["serving_default"]
    [scene] = make_scenes(1, 5, held_out=False)
    picture = scene.draw().convert("RGBA")
    hidden = Image.effect_noise(picture.size, 100).convert("RGBA")
    hidden.putalpha(Image.linear_gradient("L").resize(picture.size).point(lambda opacity: opacity // 3))
    picture.putalpha(Image.radial_gradient("L").resize(picture.size))
    for number, image in enumerate((picture, hidden)):
        image.save(tmp_path / f"{number}.png")
        _, expected = captioner.caption_file(tmp_path / f"{number}.png", BEAM)
        content = tf.constant((tmp_path / f"{number}.png").read_bytes())
        found = served(image=content, length_penalty=tf.constant(0.7))
        assert found["caption"].numpy().decode() == expected.text
        np.testing.assert_allclose(found["attention"], expected.attention, atol=1e-3)


def grey_png(pixels, depth):
    """Return a PNG of grey levels below 2**depth, uint8 [H, W]."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    bits = np.unpackbits(pixels[..., None], axis=-1)[..., -depth:].reshape(len(pixels), -1)
    rows = b"".join(b"\0" + row.tobytes() for row in np.packbits(bits, axis=-1))
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", *pixels.shape[::-1], depth, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def test_a_png_of_any_depth_and_kind_is_seen_as_in_python(tmp_path):
    picture = make_scenes(1, 5, held_out=False)[0].draw()
    transparent = picture.convert("RGBA")
    transparent.putalpha(Image.linear_gradient("L").resize(picture.size))
    saved = {f"palette of {colours}": (picture.quantize(colours), {}) for colours in (2, 4, 16, 200)}
    saved |= {f"palette of {n}, one transparent": (picture.quantize(n), {"transparency": 0}) for n in (2, 4, 16, 200)}
    saved |= {"grey, opacity": (transparent.convert("LA"), {}), "RGB, opacity": (transparent, {}), "RGB": (picture, {})}
    saved["RGB, one transparent"] = picture, {"transparency": picture.getpixel((0, 0))}
    for name, (image, options) in saved.items():
        image.save(tmp_path / f"{name}.png", **options)
    for depth in (1, 2, 4, 8):
        grey = np.asarray(picture.convert("L")) >> (8 - depth)
        (tmp_path / f"grey of {depth} bits.png").write_bytes(grey_png(grey, depth))
    paths = sorted(tmp_path.glob("*.png"))
    assert len(paths) == 16 and {path.read_bytes()[24] for path in paths} == {1, 2, 4, 8}
    for path in paths:
        content = path.read_bytes()
        seen = _lay_on_white(tf.io.decode_png(content, channels=4), tf.strings.substr(content, 24, 1))
        expected = np.asarray(read_image(path).convert("RGB"), int)
        np.testing.assert_allclose(seen, expected, atol=1, err_msg=path.name)


def test_a_palette_of_two_colours_is_no_white_picture(captioner, tmp_path):
    served = tf.saved_model.load(export(captioner, tmp_path / "model", "maker")).signatures["serving_default"]
    make_scenes(1, 5, held_out=False)[0].draw().quantize(2).save(tmp_path / "2.png")
    _, expected = captioner.caption_file(tmp_path / "2.png", BEAM)
    content = tf.constant((tmp_path / "2.png").read_bytes())
    found = served(image=content, length_penalty=tf.constant(0.7))
    assert found["caption"].numpy().decode() == expected.text
    np.testing.assert_allclose(found["attention"], expected.attention, atol=1e-3)


def test_it_answers_the_rest_form_of_tensorflow_serving(captioner, tmp_path):
    model = export(captioner, tmp_path / "model", "maker")
    [scene] = make_scenes(1, 5, held_out=False)
    buffer = io.BytesIO()
    scene.draw().save(buffer, "PNG")
    image = {"b64": base64.b64encode(buffer.getvalue()).decode()}
    answered = predict(model, {"image": image, "length_penalty": 0.7})
    assert answered["caption"] == captioner.caption_image(scene.draw(), BEAM).text
    assert answered.keys() == {"caption", "words", "attention"}


def test_a_request_decides_the_length_and_photos_are_made_small_as_in_python(captioner, tmp_path, monkeypatch):
    def search(images, length_penalty, beam):
        """Show the red pixels and the length exponent as the attention of two words."""
        red = tf.reshape(tf.cast(images[0, ..., 0], tf.float32), [-1])
        weights = tf.stack([red, tf.fill(tf.shape(red), length_penalty)])
        ids, lengths = tf.fill([1, beam, 2], END + 1), tf.fill([1, beam], 2)
        return Hypotheses(ids, lengths, tf.zeros([1, beam]), tf.tile(weights[None, None], [1, beam, 1, 1]))

    monkeypatch.setattr(captioner, "search", search)
    served = tf.saved_model.load(export(captioner, tmp_path / "model", "maker")).signatures["serving_default"]
    photo = Image.effect_noise((640, 480), 100).convert("RGB")
    photo.save(tmp_path / "large.png")
    [expected] = captioner.encode_images([photo])[..., 0]
    for exponent in (0.0, 1.5):
        content = tf.constant((tmp_path / "large.png").read_bytes())
        red, exponents = served(image=content, length_penalty=tf.constant(exponent))["attention"]
        np.testing.assert_allclose(red, expected, atol=2)
        assert (exponents.numpy() == exponent).all()


def test_a_picture_of_too_many_pixels_is_refused(captioner, tmp_path, monkeypatch):
    monkeypatch.setattr(exporting, "MAX_PIXELS", 1000)
    served = tf.saved_model.load(export(captioner, tmp_path / "model", "maker")).signatures["serving_default"]
    Image.new("RGB", (40, 30)).save(tmp_path / "large.png")
    with pytest.raises(tf.errors.InvalidArgumentError, match="too many pixels"):
        served(image=tf.constant((tmp_path / "large.png").read_bytes()), length_penalty=tf.constant(0.7))
