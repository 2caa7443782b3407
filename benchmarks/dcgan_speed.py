"""Images a second in training: this collection's loop, Keras' `fit` on the same networks, and the public tutorial.

python -m benchmarks.dcgan_speed --data-dir DIR

All three train in one process, in turns, so that whatever else the machine does slows all of them down alike. What
counts are the ratios.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf
import tyro

from benchmarks.plain_dcgan import BATCH_SIZE, PlainDCGAN
from common import training
from common.run import Run
from examples.dcgan.config import PRESETS
from examples.dcgan.data import load_images, training_batches
from examples.dcgan.train import build_model


class StepTimes(keras.callbacks.Callback):
    """Notes when each step ends; works in `fit` and in this collection's loop alike."""

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Start anew."""
        self.ends: list[float] = []

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Note the time."""
        self.ends.append(time.perf_counter())

    def median(self) -> float:
        """Return the median seconds between the ends of two steps, past the first few."""
        return statistics.median(end - start for start, end in zip(self.ends[3:], self.ends[4:], strict=False))


def contestants(data_dir: Path | None, steps: int, folder: Path) -> dict[str, Callable[[int], float]]:
    """Return functions that train for a round, given its number from 1, and return images a second."""
    config = PRESETS["quick"]
    training.prepare(config.seed, config.precision)
    images = load_images(config.data, data_dir=data_dir)
    batches = training_batches(images.train, config.batch_size, config.seed, epoch=0).repeat()
    times = StepTimes()

    ours = build_model(config, images)

    def loop(number: int) -> float:
        run = Run.start(folder / str(number), "benchmark", settings={}, data={}, data_dir=folder)
        training.Trainer(ours, run, epochs=1, steps_per_epoch=steps, callbacks=[times]).fit(lambda epoch: batches)
        return config.batch_size / times.median()

    theirs = build_model(config, images)

    def fit(number: int) -> float:
        theirs.fit(batches, epochs=1, steps_per_epoch=steps, callbacks=[times], verbose=0)
        return config.batch_size / times.median()

    plain = PlainDCGAN()
    plain_batches = training_batches(images.train, BATCH_SIZE, config.seed, epoch=0).repeat()
    step = tf.function(plain.train_step)

    def tutorial(number: int) -> float:
        times.on_train_begin()
        for position, batch in enumerate(plain_batches.take(steps)):
            step(batch)["generator_loss"].numpy()
            times.on_train_batch_end(position)
        return BATCH_SIZE / times.median()

    return {"this collection": loop, "Keras fit, same networks": fit, "public tutorial": tutorial}


def main(data_dir: Path | None = None, rounds: int = 7, steps: int = 30) -> None:
    """Print images a second of each, medians over the rounds, and this collection's as a ratio.

    Args:
        data_dir: the download cache.
        rounds: how often each has its turn.
        steps: training steps in a turn.
    """
    with tempfile.TemporaryDirectory() as folder:
        runners = contestants(data_dir, steps, Path(folder))
        rates = {name: [] for name in runners}
        for number in range(1, rounds + 1):
            for name, train in runners.items():
                rates[name].append(train(number))
    ours = rates["this collection"]
    print("\n| | images a second | this collection, times as fast |\n|---|---|---|")
    for name, values in rates.items():
        ratio = statistics.median(mine / value for mine, value in zip(ours, values, strict=True))
        print(f"| {name} | {statistics.median(values):,.0f} | {ratio:.2f} |")


if __name__ == "__main__":
    tyro.cli(main)
