"""Step 3: the features of an image as two grids.

Xu et al. use one grid of features from one layer of a CNN. Here there are two grids. The **location features** come
from a middle layer, which is precise about where things are. The **content features** come from the last layer, which
is best at what they are. `feature_extractor.py` computes both once, with a frozen network. In shape comments, L and M
are the cells of the two grids, and C and D their channels.
"""

import math

import keras
import tensorflow as tf


class FeatureGrids(keras.layers.Layer):
    """Split a stored feature vector into the grids of location features and of content features."""

    def __init__(self, location_grid: tuple[int, int], content_grid: tuple[int, int]):
        """Create the layer; each grid is given as (cells, channels): (L, C) and (M, D)."""
        super().__init__(autocast=False)
        self.location_grid, self.content_grid = location_grid, content_grid

    def call(self, stored: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Map float16 [B, L C + M D] to location features [B, L, C] and content features [B, M, D]."""
        location, content = tf.split(stored, [math.prod(self.location_grid), math.prod(self.content_grid)], axis=-1)
        location = tf.cast(tf.reshape(location, [-1, *self.location_grid]), tf.float32)  # B L C
        # Every location cell is scaled to a mean square of 1: classifiers have weak features at the border of an image.
        location = math.sqrt(self.location_grid[1]) * tf.nn.l2_normalize(location, axis=-1)  # B L C
        content = tf.reshape(content, [-1, *self.content_grid])  # B M D
        return tf.cast(location, self.compute_dtype), tf.cast(content, self.compute_dtype)
