"""Training steps on a GPU: by XLA, without XLA, and with Keras' own recurrent layers.

python -m benchmarks.gpu

It also runs without a GPU, where its figures say nothing about one.
"""

import statistics
from collections.abc import Callable, Iterator
from functools import partial

import keras
import numpy as np
import tensorflow as tf
import tyro

from benchmarks.character_gru import keras_model, some_characters
from benchmarks.measure import Table, alternate, ratio
from common.nn.adam import Adam
from common.training import trainer
from common.training.devices import set_up_devices
from common.training.distribution import compile_step
from common.training.hardware import fast_precision
from examples.nmt_attention.config import Config
from examples.nmt_attention.model import Translator
from examples.text_generation.config import Config as TextConfig
from examples.text_generation.model import TrainableCharRNN

SYMBOLS, WORDS, LENGTH = 66, 8_000, 16
STEPS = 10  # of a turn; their results are read once, as in training


def characters(precision: str, xla: bool) -> Callable[[], object]:
    """Return `STEPS` steps of the quick preset of text generation."""
    config = TextConfig()
    ids = some_characters(config.batch_size, config.window)
    trainer.set_seed_and_precision(1, precision)
    model = TrainableCharRNN(SYMBOLS, len(ids), 1, **config.architecture()).build_weights()
    return some_steps(model, (ids[:, :-1], ids[:, 1:], np.ones(ids[:, 1:].shape, bool), np.array(True)), xla)


def keras_characters(precision: str) -> Callable[[], object]:
    """Return `STEPS` steps of a network of Keras' layers, of the same sizes but without dropout."""
    config = TextConfig()
    ids = some_characters(config.batch_size, config.window)
    model = keras_model(precision, config.units)
    model(ids[:, :-1])  # creates its weights
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return some_steps(model, (ids[:, :-1], ids[:, 1:]), False, loss)


def translation(precision: str, xla: bool, gru: type | None = None) -> Callable[[], object]:
    """Return `STEPS` steps of the quick preset of translation, with `gru` as the class of the encoder's layers."""
    config, options = Config(), {"encoder_gru": gru} if gru else {}
    trainer.set_seed_and_precision(1, precision)
    model = Translator(WORDS, WORDS, **config.architecture(), **options).build_weights()
    draw = partial(np.random.default_rng(0).integers, 3, WORDS, size=(config.batch_size, LENGTH), dtype="int32")
    return some_steps(model, (draw(), draw()), xla)


def some_steps(
    model: keras.Model, batch: tuple[np.ndarray, ...], xla: bool, loss: keras.Loss | None = None
) -> Callable[[], object]:
    """Return `STEPS` training steps on one batch, compiled as `Trainer` compiles them; Keras' models need a loss."""
    model.compile(Adam(), loss)
    model.optimizer.build(model.trainable_variables)
    data = tf.data.Dataset.from_tensors(batch)
    step = compile_step(model.train_step, data, xla=xla)
    [on_device] = data
    return lambda: [float(results["loss"]) for results in [step(on_device) for _ in range(STEPS)]]


def ways(precision: str) -> Iterator[tuple[str, Callable[[], object]]]:
    """Yield name and steps of every way."""
    yield f"characters, {precision}, Keras", keras_characters(precision)
    yield f"translation, {precision}, Keras' GRU in the encoder", translation(precision, False, keras.layers.GRU)
    for name, make in (("characters", characters), ("translation", translation)):
        yield f"{name}, {precision}, XLA", make(precision, True)
        yield f"{name}, {precision}, without XLA", make(precision, False)


def main(turns: int = 5) -> None:
    """Measure and save the table; `turns` for each way."""
    set_up_devices("auto")
    measured = {
        name: way for precision in dict.fromkeys(["float32", fast_precision().name]) for name, way in ways(precision)
    }
    seconds = alternate(measured, turns)
    rows = []
    for name, times in seconds.items():
        task, precision, _ = name.split(", ")
        base = next(other for other in seconds if other.startswith(f"{task}, {precision}, Keras"))
        rows.append([name, f"{STEPS / statistics.median(times):.1f}", f"{ratio(times, seconds[base]):.2f}"])
    Table(
        "Training steps on a GPU" if tf.config.list_logical_devices("GPU") else "Training steps, no GPU",
        f"Steps a second of the quick presets with Adam, median of {turns} turns of {STEPS} steps; sentences of "
        f"{LENGTH} words on both sides.",
        ["way", "steps a second", "times Keras' layers"],
        rows,
    ).save()


if __name__ == "__main__":
    tyro.cli(main)
