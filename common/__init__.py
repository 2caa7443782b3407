"""Code that the examples share: downloads, tf.data, the training loop, the run directory, figures."""

__version__ = "0.1.0"
