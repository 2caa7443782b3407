# %% [markdown]
# ### Eyes: what the decoder gets to see of a photo
#
# For each of the L cells of a grid over the photo two vectors, one that knows **where** things are and one that knows
# **what** they are. For real photos both were computed beforehand by a frozen network (see `encoder.py`) and only need
# to be told apart. For the drawn scenes a small network is trained along.

# %%
"""The first layers of the captioner: unpack frozen features, or compute features of small pictures."""

import math

import keras
import tensorflow as tf


# %%
class FrozenEyes(keras.layers.Layer):
    """Tells apart the two vectors that `encoder.Encoder` kept of each cell."""

    def __init__(self, channels: int):
        """The first `channels` of a cell are those of the middle layer."""
        super().__init__(autocast=False)
        self.channels = channels

    def call(self, kept: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Map float16 [B, L, C + D] to where [B, L, C] and what [B, L, D].

        Each `where` is scaled to a mean square of one: networks trained to name one thing a photo have strong features
        in the middle and weak ones at the border, and unscaled, the middle would be looked at for its strength.
        """
        where = tf.cast(kept[..., : self.channels], tf.float32)  # B L C
        where = math.sqrt(self.channels) * tf.nn.l2_normalize(where, axis=-1)  # B L C
        return tf.cast(where, self.compute_dtype), tf.cast(kept[..., self.channels :], self.compute_dtype)


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
        self.mix = keras.layers.Conv2D(channels, 3, padding="same", activation="relu")

    def build(self, input_shape: tuple[int, ...]) -> None:
        """Create the vector that tells each cell where it is: a convolution alone does not know left from right."""
        self.places = self.add_weight(
            name="places",
            shape=(self.side, self.side, self.channels),
            initializer=keras.initializers.RandomNormal(stddev=0.2),
        )

    def call(self, pixels: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Map uint8 [B, S, S, 3] to where and what, both [B, L, C]."""
        x = 1 - tf.cast(pixels, self.compute_dtype) / 255  # B S S 3; paper is nearly 0, like the padding
        colour = tf.reduce_max(x, axis=-1, keepdims=True) - tf.reduce_min(x, axis=-1, keepdims=True)  # B S S 1
        filled = tf.nn.avg_pool2d(2 * colour, 8, 8, "VALID")  # B S/8 S/8 1; about 1 where a shape fills the cell
        for convolution in self.convolutions:
            x = convolution(x)  # B S/2 S/2 ., B S/4 S/4 ., B S/8 S/8 C
        # What is there may be told from further away, with the neighbours. After this mixing "red" and "on the left"
        # are "red on the left", which even the mean over all cells still knows.
        what = self.mix(x + tf.cast(self.places, self.compute_dtype))  # B S/8 S/8 C
        # A shape can be told as well from the cell beside it, which sees half of it. For looking, what a cell sees
        # counts as far as the shape is in the cell itself.
        where = x * filled**2  # B S/8 S/8 C
        return tuple(tf.reshape(grid, [-1, self.side**2, self.channels]) for grid in (where, what))  # B L C, B L C
