"""What every example shares: downloads, tf.data, the training loop, the run directory, pictures. Knows no example."""

__version__ = "0.1.0"
