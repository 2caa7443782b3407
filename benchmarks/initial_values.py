"""What the initial values of the character model, and the form of its embedding's gradient, are worth.

python -m benchmarks.initial_values --data-dir ../shared/data

Trains the model of examples.text_generation with one thing changed at a time, from the same seed on the same
batches, and prints the validation loss on the way. Losses depend on the step, not on the speed of the machine.
"""

from dataclasses import dataclass, replace
from pathlib import Path

import keras
import tensorflow as tf
import tyro

from common.nn.losses import masked_mean
from common.training import trainer
from examples.text_generation.config import PRESETS
from examples.text_generation.data import VALIDATION_STREAMS, contiguous_batches, load_corpus, training_batches
from examples.text_generation.demo import build_model
from examples.text_generation.model import TrainableCharRNN, cross_entropy
from examples.text_generation.train import build_optimizer, build_schedule


@dataclass(frozen=True)
class Variant:
    """One thing done in another way than in the example."""

    name: str
    embedding: str | keras.initializers.Initializer = keras.initializers.RandomNormal(stddev=1.0, seed=1)
    output: str | keras.initializers.Initializer = keras.initializers.VarianceScaling(0.5, "fan_in", seed=1)
    dense_gradient: bool = True
    clip: bool = True


UNIFORM = keras.initializers.RandomUniform(-0.05, 0.05, seed=1)
VARIANTS = [
    Variant("as in the example"),
    Variant("embedding uniform in ±0.05", embedding=UNIFORM),
    Variant("no clipping", clip=False),
    Variant("no clipping, sparse gradient", dense_gradient=False, clip=False),
    Variant("no clipping, sparse gradient, uniform", embedding=UNIFORM, dense_gradient=False, clip=False),
    Variant("output layer zero", output="zeros"),
    Variant("output layer Glorot", output=keras.initializers.GlorotUniform(seed=1)),
]


def train_step(model: TrainableCharRNN, batch, dense_gradient: bool) -> None:
    """Take the step of `TrainableCharRNN.train_step`, with the embedding's gradient dense or as it comes."""
    inputs, targets, mask, is_start = batch
    state = model.train_state.read(reset=is_start)
    with tf.GradientTape() as tape:
        logits, state = model(inputs, state, training=True)
        loss = masked_mean(cross_entropy(logits, targets), mask)
    gradients = tape.gradient(loss, model.trainable_variables)
    if dense_gradient:
        gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
    model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
    model.train_state.write(state)


def measure(variant: Variant, data_dir: Path | None, units: int, marks: list[int]) -> list[float]:
    """Return the validation loss of a variant, untrained and after each number of steps in `marks`."""
    adam = {"optimizer": "adam", "learning_rate": 4e-3, "warmup_steps": 20, "weight_decay": 0.0}
    config = replace(PRESETS["quick"], units=units, window=100, batch_size=128, dropout=0.2, **adam)
    trainer.set_seed_and_precision(config.seed, "float32")
    corpus = load_corpus(config.data, config.window, data_dir)
    batches = training_batches(corpus.train, config.batch_size, config.window, config.seed, epoch=0).repeat()
    validation = contiguous_batches(corpus.validation, VALIDATION_STREAMS, config.window)
    model = build_model(config, len(corpus.vocabulary))
    for variable, initializer in (
        (model.embedding.embeddings, variant.embedding),
        (model.logits.kernel, variant.output),
    ):
        variable.assign(keras.initializers.get(initializer)(variable.shape))
    schedule = build_schedule(config, 400)
    theirs = keras.optimizers.Adam(schedule, beta_2=config.beta_2)  # which takes a sparse gradient row by row
    model.compile(build_optimizer(config, schedule) if variant.dense_gradient else theirs)
    if not variant.clip:
        model.optimizer.global_clipnorm = None
    step = tf.function(lambda batch: train_step(model, batch, variant.dense_gradient))
    losses = [trainer.evaluate(model, validation)["loss"]]
    for number, batch in enumerate(batches.take(marks[-1]), start=1):
        step(batch)
        if number in marks:
            losses.append(trainer.evaluate(model, validation)["loss"])
    return losses


def main(data_dir: Path | None = None, units: int = 256, marks: list[int] = [80, 160]) -> None:  # noqa: B006
    """Print a table of validation losses, nats per character.

    Args:
        data_dir: the download cache.
        units: width of the recurrent state.
        marks: steps after which to measure.
    """
    print("| variant | untrained | " + " | ".join(f"step {mark}" for mark in marks) + " |")
    print("|---|" + "---|" * (len(marks) + 1))
    for variant in VARIANTS:
        losses = measure(variant, data_dir, units, marks)
        print(f"| {variant.name} | " + " | ".join(f"{loss:.3f}" for loss in losses) + " |", flush=True)


if __name__ == "__main__":
    tyro.cli(main)
