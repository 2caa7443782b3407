"""The losses of the first hundred steps with the GRU of this collection, beside those with Keras' own.

python -m benchmarks.equal_losses --data-dir DIR
"""

from dataclasses import replace
from pathlib import Path

import keras
import tensorflow as tf
import tyro

from benchmarks.measure import Table, goal
from common.nn.recurrent_stack import Cell
from common.training import trainer
from examples.text_generation.config import PRESETS
from examples.text_generation.data import load_corpus, training_batches
from examples.text_generation.model import TrainableCharRNN
from examples.text_generation.train import build_optimizer, build_schedule


def losses(cell: Cell, steps: int, data_dir: Path | None) -> list[float]:
    """Return the losses, in nats, of the first steps of a GRU of 1,024 units in float32."""
    sizes = {"units": 1024, "batch_size": 64, "window": 100}
    config = replace(PRESETS["quick"], optimizer="adam", learning_rate=2e-3, dropout=0.0, **sizes)
    trainer.set_seed_and_precision(config.seed, "float32")
    corpus = load_corpus(config.data, config.window, data_dir)
    architecture = config.architecture() | {"cell": cell}
    model = TrainableCharRNN(len(corpus.vocabulary), config.batch_size, 1, **architecture).build_weights()
    model.compile(build_optimizer(config, build_schedule(config, steps)))
    model.optimizer.build(model.trainable_variables)
    step = tf.function(model.train_step)
    batches = training_batches(corpus.train, config.batch_size, config.window, config.seed, epoch=0)
    return [float(step(batch)["loss"]) for batch in batches.take(steps)]


def main(data_dir: Path | None = None, steps: int = 100) -> None:
    """Measure and save the table.

    Args:
        data_dir: the download cache.
        steps: of training.
    """
    theirs, ours = (losses(cell, steps, data_dir) for cell in (keras.layers.GRU, "gru"))
    differences = [abs(one - other) for one, other in zip(theirs, ours, strict=True)]
    marks = [mark for mark in (1, 10, 25, 50, 75, 100) if mark <= steps]
    Table(
        "Equal losses",
        f"Nats per character of the training batches, float32, 1,024 units, from the same seed on the same batches; "
        f"the largest difference in {steps} steps is {max(differences):.1e}.",
        ["", *(f"step {mark}" for mark in marks)],
        [
            ["Keras' GRU", *(f"{theirs[mark - 1]:.5f}" for mark in marks)],
            ["this collection's", *(f"{ours[mark - 1]:.5f}" for mark in marks)],
        ],
        goals=[goal("largest difference of a loss from Keras', nats", max(differences), most=1e-4, form=".1e")],
    ).save()


if __name__ == "__main__":
    tyro.cli(main)
