"""Samples of a model before training and after every epoch, and the titles under which they are shown."""

from pathlib import Path

import keras

from common.app.report import read_listing
from common.training.run_directory import Run


def sample_path(run: Run, epoch: int, suffix: str = ".txt") -> Path:
    """Return the path of the samples written after `epoch` epochs; 0 means before training."""
    return run.samples / f"epoch_{epoch:04d}{suffix}"


def sample_titles(run: Run, unit: str) -> dict[int, str]:
    """Return the titles of the samples by epoch, from 0, with the validation loss in `unit`."""
    rows = {int(row["epoch"]): row.get("val_loss", row["loss"]) for row in run.read_metrics("loss")}
    titles = {epoch: f"after epoch {epoch}: {loss:.3f} {unit}" for epoch, loss in rows.items()}
    return {0: "before training"} | titles


def read_samples(run: Run, unit: str) -> list[tuple[str, str]]:
    """Return (title, text) of the samples of all epochs, in order."""
    titles = sample_titles(run, unit)
    return [(title, read_listing(sample_path(run, epoch)).removesuffix("\n")) for epoch, title in titles.items()]


class SampleCallback(keras.callbacks.Callback):
    """Writes samples of the untrained model and after every epoch; subclasses say how."""

    def __init__(self, run: Run):
        """Write into the samples folder of `run`."""
        super().__init__()
        self.run = run

    def prepare(self) -> None:
        """Set up what all samples need, once the model is known; nothing by default."""

    def write(self, epoch: int, logs: dict[str, float]) -> None:
        """Write the samples after `epoch` epochs, the last of them `sample_path(self.run, epoch)`."""
        raise NotImplementedError

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Write the samples of the untrained model, unless the run was resumed."""
        self.prepare()
        if not any(self.run.samples.glob("epoch_0000.*")):
            self.write(0, {})

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write the samples after `epoch`, which Keras counts from 0."""
        self.write(epoch + 1, logs or {})
