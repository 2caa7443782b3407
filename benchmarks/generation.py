"""Characters a second in generation, with a model of the `quick` preset: the whole loop compiled, and two plainer ways.

python -m benchmarks.generation
"""

import statistics
from collections.abc import Callable
from functools import partial

import keras
import tensorflow as tf
import tyro

from benchmarks.measure import Table, alternate, goal
from common.data.vocabulary import Vocabulary
from common.training import trainer
from examples.text_generation.config import PRESETS
from examples.text_generation.demo import Sampling, TextGenerator
from examples.text_generation.model import CharRNN

PROMPT, LENGTH, MANY_LENGTH, PLAIN_LENGTH = "ROMEO:", 1000, 200, 30
COMPILED, ONE, PRODUCT = "a step at a time, compiled", "here, one text", "one product alone"


def plain_way(model: CharRNN, compiled: bool):
    """Return a loop in Python over characters, calling Keras' layers eagerly or in one compiled step."""

    def step(ids: tf.Tensor, state: list[tf.Tensor]) -> tuple[tf.Tensor, list[tf.Tensor]]:
        x = model.embedding(ids)
        output, *state = keras.layers.GRU.call(model.rnn.rnn_layers[0], x, initial_state=state)
        return tf.random.categorical(model.logits(output)[:, -1] / 0.8, 1, dtype=tf.int32), state

    step = tf.function(step) if compiled else step

    def write() -> None:
        ids, state = tf.zeros([1, 1], tf.int32), model.initial_state(1)[0]
        for _ in range(PLAIN_LENGTH):
            ids, state = step(ids, state)
        ids.numpy()

    return write


def product_alone(dtype: str, units: int) -> Callable[[], object]:
    """Return a compiled loop of nothing but the product of state and recurrent weights, as often as characters."""
    kernel = tf.cast(tf.random.normal([units, 3 * units]) / units, dtype)

    @tf.function(jit_compile=True)
    def loop(state: tf.Tensor) -> tf.Tensor:
        rows = tf.transpose(kernel)  # faster so

        def step(t: tf.Tensor, state: tf.Tensor):
            return t + 1, tf.matmul(state, rows, transpose_b=True)[:, :units]

        return tf.while_loop(lambda t, _: t < LENGTH, step, (0, state))[1]

    state = tf.ones([1, units], dtype)
    return lambda: loop(state).numpy()


def main(turns: int = 20) -> None:
    """Measure and save the table; `turns` for each way."""
    config = PRESETS["quick"]
    rows, goals = [], []
    for precision in ("float32", "bfloat16"):
        trainer.set_seed_and_precision(1, precision)
        vocabulary = Vocabulary(sorted({chr(code) for code in range(32, 96)} | {"\n"}))
        model = CharRNN(len(vocabulary), **config.architecture()).build_weights()
        generator = TextGenerator(model, vocabulary)
        ways = {
            "a step at a time, eager": (PLAIN_LENGTH, plain_way(model, compiled=False)),
            COMPILED: (PLAIN_LENGTH, plain_way(model, compiled=True)),
            ONE: (LENGTH, partial(generator.generate, PROMPT, LENGTH, Sampling())),
            "here, 64 texts": (64 * MANY_LENGTH, partial(generator.generate, PROMPT, MANY_LENGTH, Sampling(), 64)),
            PRODUCT: (LENGTH, product_alone(precision, config.units)),
        }
        seconds = alternate({name: way for name, (_, way) in ways.items()}, turns)
        rates = {name: count / statistics.median(seconds[name]) for name, (count, _) in ways.items()}
        rows += [[precision, name, f"{rate:,.0f}", f"{rate / rates[COMPILED]:.1f}"] for name, rate in rates.items()]
        goals += [
            goal(f"characters a second, one text, {precision}", rates[ONE], least=10_000),
            goal("the same as a share of that of one product alone", rates[ONE] / rates[PRODUCT], 0.7, form=".0%"),
        ]
    Table(
        f"Writing: GRU of {config.units:,} units",
        f"Characters a second, medians of {turns} turns. Here: {LENGTH:,} characters by `generate`, of 64 texts "
        f"{MANY_LENGTH} each, at temperature 0.8, decoding to text included. A step at a time: {PLAIN_LENGTH} "
        f"characters by Keras' layers called in a loop in Python. One product alone: a compiled loop of nothing but "
        "the product of the state with the recurrent weights for each character of one text. The weights have "
        f"{3 * config.units**2 * 4 / 1e6:.1f} MB in float32, half as many in bfloat16; where that is no faster, "
        "reading them is not what limits it.",
        ["precision", "way", "characters a second", "times a compiled step at a time"],
        rows,
        goals=goals,
    ).save()


if __name__ == "__main__":
    tyro.cli(main)
