"""The exponential moving average (EMA) of a network's weights."""

import keras
import tensorflow as tf


class ExponentialMovingAverage(keras.layers.Layer):
    """Average the weights of a network over its training steps.

    In update t = 1, 2, ... every weight w of the network, and every running statistic of its batch norms, is averaged:

        average = d average + (1 - d) w  with  d = min(decay, (1 + t) / (10 + t))

    Used for the weights of a generator by Karras et al. 2018, arXiv:1710.10196. Deviation: there d is constant. The
    warm-up is that of `tf.train.ExponentialMovingAverage`. Without it, the initial weights dominate a short run.

    The averages and t are variables of this layer, so that a checkpoint of the model contains them.
    """

    def __init__(self, averaged_network: keras.Layer, decay: float, **options):
        """Create the layer; `averaged_network`, of the same architecture, holds the averages and becomes untrainable.

        `decay` is from 0 (the latest weights) to below 1 (an average over about 1 / (1 - decay) steps).
        """
        super().__init__(**options)
        self.averaged_network, self.decay = averaged_network, decay
        self.averaged_network.trainable = False
        self.updates = self.add_weight(name="updates", shape=(), dtype="int64", initializer="zeros", trainable=False)

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        """Return the outputs of the network with the averaged weights, in inference mode."""
        return self.averaged_network(inputs, training=False)

    def initialize(self, network: keras.Layer) -> None:
        """Start the average at the weights of `network`. Both networks must be built."""
        self.averaged_network.set_weights(network.get_weights())

    def update(self, network: keras.Layer) -> None:
        """Include the weights of `network`, as they are after a training step, in the average."""
        self.updates.assign_add(1)
        t = tf.cast(self.updates, tf.float32)
        d = tf.minimum(self.decay, (1 + t) / (10 + t))
        for average, weight in zip(self.averaged_network.weights, network.weights, strict=True):
            average.assign(d * average + (1 - d) * weight)
