"""Samples of a model before training and after every epoch, with their titles."""

from collections.abc import Sequence
from pathlib import Path
from typing import TypeVar

import keras
import numpy as np
import tensorflow as tf

from common.training.run_directory import RunDirectory, read_listing

T = TypeVar("T")

MAX_SHOWN = 60
"""Samples in a GIF or a report. A training on few examples of one's own may have 300 epochs."""


def sample_path(run: RunDirectory, epoch: int, suffix: str = ".txt") -> Path:
    """Return the path of the samples after `epoch` epochs; 0 means before training."""
    return run.samples / f"epoch_{epoch:04d}{suffix}"


def evenly_spaced(items: Sequence[T]) -> list[T]:
    """Return `MAX_SHOWN` of the items at most, evenly spaced, with the first and the last."""
    return [items[i] for i in np.linspace(0, len(items) - 1, min(len(items), MAX_SHOWN)).round().astype(int)]


def sample_titles(run: RunDirectory, unit: str) -> dict[int, str]:
    """Return the title of the samples of every epoch, from 0, with the validation loss in `unit`.

    Of more than `MAX_SHOWN` epochs, some are left out.
    """
    rows = {int(row["epoch"]): row.get("val_loss", row["loss"]) for row in run.read_metrics("loss")}
    titles = {epoch: f"after epoch {epoch}: {loss:.3f} {unit}" for epoch, loss in rows.items()}
    return dict(evenly_spaced([(0, "before training"), *titles.items()]))


def read_samples(run: RunDirectory, unit: str) -> list[tuple[str, str]]:
    """Return (title, text) of the samples that have titles, in order; none before the end of the first epoch."""
    if not run.read_metrics():
        return []
    titles = sample_titles(run, unit)
    return [(title, read_listing(sample_path(run, epoch)).removesuffix("\n")) for epoch, title in titles.items()]


def log_samples(run: RunDirectory, epoch: int) -> None:
    """Write the samples after `epoch` epochs, texts and pictures, to the TensorBoard log that is open."""
    for path in sorted(run.samples.glob(f"epoch_{epoch:04d}.*")):
        if path.suffix == ".txt":
            tf.summary.text("samples", f"```\n{read_listing(path)}\n```")
        elif path.suffix == ".png":
            tf.summary.image("samples", tf.io.decode_png(path.read_bytes())[None])


class SampleCallback(keras.callbacks.Callback):
    """Writes samples of the untrained model and after every epoch; subclasses define `write`."""

    LAST_SUFFIX = ".txt"
    """The suffix of the file that `write` writes last."""

    def __init__(self, run: RunDirectory):
        super().__init__()
        self.run = run

    def write(self, epoch: int, logs: dict[str, float]) -> None:
        """Write the samples after `epoch` epochs; the last is `sample_path(self.run, epoch, self.LAST_SUFFIX)`."""
        raise NotImplementedError

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Write the samples of the untrained model, unless the run was resumed."""
        if not sample_path(self.run, 0, self.LAST_SUFFIX).exists():
            self.write(0, {})

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Write the samples after `epoch`, counted from 0 by Keras."""
        self.write(epoch + 1, logs or {})
