"""Write the trained model as a SavedModel: an encoded photo in, caption and attention out, usable without this code."""

from pathlib import Path

import tensorflow as tf

from common.app.saved_model import save_model
from common.data.images import MAX_PIXELS
from common.data.scripts import JOINING_RULES
from common.training.checkpoints import named_variables
from examples.image_captioning.demo import PhotoCaptioner
from examples.image_captioning.vocabulary import END

BEAM = 3
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def export(captioner: PhotoCaptioner, folder: Path, maker: str, overwrite: bool = False) -> Path:
    """Write the SavedModel to `folder` and return it; see `common.app.saved_model.save_model` for the arguments.

    Its one signature takes image (string: the bytes of a JPEG, PNG, GIF or BMP file, the last without a palette) and
    length_penalty (float32), both scalars, and gives {"caption": string, "words": string [T], "attention": float32 [T,
    rows, columns]}, for the first frame of a GIF. It fails on bytes that are no such picture. Transparent parts of a
    PNG become white. It does not turn photos as their EXIF data says.
    """
    network = captioner.extractor.network
    encoder_weights = [variable.value for variable in network.variables] if network else []
    symbols = tf.Variable(captioner.vocabulary.symbols, trainable=False)

    @tf.function(
        input_signature=[tf.TensorSpec([], tf.string, "image"), tf.TensorSpec([], tf.float32, "length_penalty")]
    )
    def caption(image, length_penalty):
        size = captioner.extractor.image_size
        pixels = tf.cond(
            tf.strings.substr(image, 0, len(_PNG_SIGNATURE)) == _PNG_SIGNATURE,
            lambda: _lay_on_white(tf.io.decode_png(image, channels=4), tf.strings.substr(image, 24, 1)),
            lambda: tf.io.decode_image(image, channels=3, expand_animations=False),
        )  # H W 3
        with tf.control_dependencies([tf.debugging.assert_less(tf.size(pixels), 3 * MAX_PIXELS, "too many pixels")]):
            pixels = tf.image.resize(tf.cast(pixels, tf.float32), [size, size], antialias=True)  # S S 3
        pixels = tf.cast(tf.clip_by_value(tf.round(pixels), 0, 255), tf.uint8)  # S S 3
        found = captioner.search(captioner.extractor.extract(pixels[None]), length_penalty, BEAM)
        ids, length = found.ids[0, 0], found.lengths[0, 0]  # T, scalar
        count = length - tf.cast(ids[length - 1] == END, tf.int32)
        count = tf.minimum(count, captioner.max_length)  # without END, there is one more
        words = tf.gather(symbols, ids[:count])  # T
        side = tf.cast(tf.round(tf.sqrt(tf.cast(tf.shape(found.attention)[-1], tf.float32))), tf.int32)
        attention = tf.reshape(found.attention[0, 0, :count], [count, side, side])  # T R R
        text = tf.strings.reduce_join(words, separator=" ")
        for pattern, replacement in JOINING_RULES:
            text = tf.strings.regex_replace(text, pattern, replacement)
        return {"caption": text, "words": words, "attention": attention}

    resources = [*named_variables(captioner.model).values(), *encoder_weights, symbols]
    return save_model(caption, resources, folder, maker, overwrite)


def _lay_on_white(pixels: tf.Tensor, depth: tf.Tensor) -> tf.Tensor:
    """Return pixels with opacity, uint8 [H, W, 4], on a white ground, as `read_image` lays them: uint8 [H, W, 3].

    `depth` is the byte of a PNG that says its bits per channel. With 1, 2 or 4 and without transparency, the decoder
    sets the opacity to 1, 3 or 15 instead of 255.
    """
    filled = 2 ** tf.cast(tf.io.decode_raw(depth, tf.uint8), tf.float32) - 1  # [1]
    colours, opacity = tf.cast(pixels[..., :3], tf.float32), tf.cast(pixels[..., 3:], tf.float32)
    opacity = tf.where(tf.reduce_all(opacity == filled), 255.0, opacity) / 255
    return tf.cast(tf.round(colours * opacity + 255 * (1 - opacity)), tf.uint8)
