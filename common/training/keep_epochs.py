"""The weights after every so many epochs, kept beside the checkpoints of training."""

from pathlib import Path

import keras

from common.training.checkpoints import KEPT, Checkpoints, named_variables


class KeepEpochs(keras.callbacks.Callback):
    """Keeps the weights after every so many epochs, for `restore_weights`."""

    def __init__(self, folder: Path, every: int):
        """Keep them in the folder of the other checkpoints."""
        super().__init__()
        self.folder, self.every = folder, every

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Save the weights after an epoch, which Keras counts from 0."""
        if (epoch + 1) % self.every == 0:
            checkpoints = Checkpoints(self.folder, model=named_variables(self.model))
            checkpoints.save(KEPT, epoch + 1, {"epoch": epoch + 1}, keep=epoch + 1)
