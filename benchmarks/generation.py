"""Characters a second in writing, with a model of the `quick` preset: the whole loop compiled, and two plainer ways.

python -m benchmarks.generation
"""

import statistics
from collections.abc import Callable
from functools import partial

import keras
import tensorflow as tf
import tyro

from benchmarks.measure import Table, alternate, product, ratio
from common import training
from common.text import Vocabulary
from examples.text_generation.config import PRESETS
from examples.text_generation.demo import Sampling, TextGenerator
from examples.text_generation.model import CharRNN

PROMPT, LENGTH, MANY_LENGTH, PLAIN_LENGTH = "ROMEO:", 1000, 200, 30


def plain_way(model: CharRNN, compiled: bool):
    """Return a loop in Python over characters, calling Keras' layers eagerly or in one compiled step."""

    def step(ids: tf.Tensor, state: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        x = model.embedding(ids)
        output, *state = keras.layers.GRU.call(model.recurrent[0], x, initial_state=state)
        return tf.random.categorical(model.logits(output)[:, -1] / 0.8, 1, dtype=tf.int32), state

    step = tf.function(step) if compiled else step

    def write() -> None:
        ids, state = tf.zeros([1, 1], tf.int32), model.initial_state(1)[0]
        for _ in range(PLAIN_LENGTH):
            ids, state = step(ids, state)
        ids.numpy()

    return write


def repeat(function: Callable[[], object]) -> None:
    """Call it as often as a step at a time is made."""
    for _ in range(PLAIN_LENGTH):
        function()


def main(turns: int = 20) -> None:
    """Measure and save the table; `turns` for each way."""
    config = PRESETS["quick"]
    rows = []
    for precision in ("float32", "bfloat16"):
        training.prepare(1, precision)
        vocabulary = Vocabulary(sorted({chr(code) for code in range(32, 96)} | {"\n"}))
        model = CharRNN(len(vocabulary), **config.architecture()).build_weights()
        generator = TextGenerator(model, vocabulary)
        row_by_kernel, _ = product(model.compute_dtype, 1, config.units, 3 * config.units)
        ways = {
            "a step at a time, eager": (PLAIN_LENGTH, plain_way(model, compiled=False)),
            "a step at a time, compiled": (PLAIN_LENGTH, plain_way(model, compiled=True)),
            "here, one text": (LENGTH, partial(generator.generate, PROMPT, LENGTH, Sampling())),
            "here, 64 texts": (64 * MANY_LENGTH, partial(generator.generate, PROMPT, MANY_LENGTH, Sampling(), 64)),
            "the largest product of a step alone": (PLAIN_LENGTH, partial(repeat, row_by_kernel)),
        }
        seconds = alternate({name: way for name, (_, way) in ways.items()}, turns)
        per_character = {name: [s / ways[name][0] for s in times] for name, times in seconds.items()}
        baseline = per_character["a step at a time, compiled"]
        for name, times in per_character.items():
            rows.append([precision, name, f"{1 / statistics.median(times):,.0f}", f"{ratio(times, baseline):.1f}"])
    Table(
        f"Writing: GRU of {config.units:,} units",
        f"Characters a second, medians of {turns} turns. Here: {LENGTH:,} characters by `generate`, of 64 texts "
        f"{MANY_LENGTH} each, at temperature 0.8, decoding to text included. A step at a time: {PLAIN_LENGTH} "
        "characters by Keras' layers called in a loop in Python.",
        ["precision", "way", "characters a second", "times a compiled step at a time"],
        rows,
    ).save()


if __name__ == "__main__":
    tyro.cli(main)
