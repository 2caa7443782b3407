# %% [markdown]
# ### Eyes: what the decoder gets to see of a photo
#
# Two grids over the photo: L vectors that know **where** things are, and M, as many or a quarter as many, that know
# **what** they are. For real photos both were computed beforehand by a frozen network (see `encoder.py`) and only need
# to be told apart. For the drawn scenes a small network is trained along.

# %%
"""The first layers of the captioner: unpack frozen features, or compute features of small pictures."""

import math

import keras
import tensorflow as tf


# %%
class FrozenEyes(keras.layers.Layer):
    """Tells apart the two grids that `encoder.Encoder` kept end to end."""

    def __init__(self, where: tuple[int, int], what: tuple[int, int]):
        """Each grid is told by its cells and channels: (L, C) and (M, D)."""
        super().__init__(autocast=False)
        self.where, self.what = where, what

    def call(self, kept: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Map float16 [B, L C + M D] to where [B, L, C] and what [B, M, D].

        Each `where` is scaled to a mean square of one: networks trained to name one thing a photo have strong features
        in the middle and weak ones at the border, and unscaled, the middle would be looked at for its strength.
        """
        where, what = tf.split(kept, [math.prod(self.where), math.prod(self.what)], axis=-1)
        where = tf.reshape(where, [-1, *self.where])  # B L C
        what = tf.reshape(what, [-1, *self.what])  # B M D
        where = math.sqrt(self.where[1]) * tf.nn.l2_normalize(tf.cast(where, tf.float32), axis=-1)  # B L C
        return tf.cast(where, self.compute_dtype), tf.cast(what, self.compute_dtype)


class TinyEyes(keras.layers.Layer):
    """A small convolutional network for drawn scenes, 1/8 of the picture's size in cells; trained along."""

    def __init__(self, image_size: int, channels: int = 96):
        """Lay out the convolutions."""
        super().__init__()
        self.side, self.channels = image_size // 8, channels
        # Even kernels keep the middle of what a cell sees in the middle of the cell. It sees 22 x 22 pixels: the whole
        # of a shape that begins in it.
        self.convolutions = [
            keras.layers.Conv2D(
                filters, 4, strides=2, padding="same", activation="relu", kernel_initializer="he_normal"
            )
            for filters in (32, 64, channels)
        ]

    def call(self, pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Map uint8 [B, S, S, 3] to where and what, both [B, L, C]."""
        x = 1 - tf.cast(pixels, self.compute_dtype) / 255  # B S S 3; paper is nearly 0, like the padding
        colour = tf.reduce_max(x, axis=-1, keepdims=True) - tf.reduce_min(x, axis=-1, keepdims=True)  # B S S 1
        filled = tf.nn.avg_pool2d(2 * colour, 8, 8, "VALID")  # B S/8 S/8 1; about 1 where a shape fills the cell
        for convolution in self.convolutions:
            x = convolution(x)  # B S/2 S/2 ., B S/4 S/4 ., B S/8 S/8 C
        # A convolution does not know left from right. A feature times its place, averaged over all cells, tells where
        # that feature is in the picture.
        line = tf.cast(tf.linspace(-1.0, 1.0, self.side), x.dtype)  # S/8
        what = tf.concat([x, x * line[:, None], x * line[:, None, None]], axis=-1)  # B S/8 S/8 3C
        # A shape can be told as well from the cell beside it, which sees half of it. For looking, what a cell sees
        # counts as far as the shape is in the cell itself.
        where = x * filled**2  # B S/8 S/8 C
        return tuple(tf.reshape(grid, [-1, self.side**2, grid.shape[-1]]) for grid in (where, what))  # B L C, B L 3C
