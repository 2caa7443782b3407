"""A training step of translation at the sizes of the 2018 notebook: as it was there, whole in a graph, and here.

python -m benchmarks.translation_2018 --data-dir DIR
"""

import importlib.util
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path

import keras
import tensorflow as tf
import tyro

from benchmarks.measure import Table, alternate, goal, ratio
from common.data.batching import batches_of, epoch_order
from common.nn.adam import Adam
from common.nn.recurrent import GRU
from common.training import trainer
from examples.nmt_attention.data import EncodedPairs, load_corpus
from examples.nmt_attention.model import Translator
from examples.nmt_attention.preprocess.tokenizer import PAD, START, WordTokenizer

PAIRS, BATCH_SIZE, EMBEDDING, UNITS = 30_000, 64, 256, 1024
STEPS = 5  # in a turn, so that short and long buckets come together


class Translator2018(keras.Model):
    """Encoder, additive attention and decoder of 2018: keys and logits of every word computed inside the loop."""

    def __init__(self, source_size: int, target_size: int):
        """Lay out the layers."""
        super().__init__()
        self.source = keras.layers.Embedding(source_size, EMBEDDING)
        self.target = keras.layers.Embedding(target_size, EMBEDDING)
        self.encoder = keras.layers.GRU(UNITS, return_sequences=True, return_state=True)
        self.decoder = keras.layers.GRU(UNITS, return_sequences=True, return_state=True)
        self.key, self.query, self.score = (keras.layers.Dense(width) for width in (UNITS, UNITS, 1))
        self.logits = keras.layers.Dense(target_size)

    def losses(self, source: tf.Tensor, target: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Return the nll and the mask float32 [B, T] of target [B, T]: one turn of a Python loop for each word."""
        values, state = self.encoder(self.source(source))  # B S U, B U
        word, losses = tf.fill([source.shape[0]], START), []
        for t in range(target.shape[1]):
            scores = self.score(tf.tanh(self.key(values) + self.query(state[:, None])))  # B S 1
            context = tf.reduce_sum(tf.nn.softmax(scores, axis=1) * values, axis=1)  # B U
            x = tf.concat([context[:, None], self.target(word)[:, None]], axis=-1)  # B 1 *
            output, state = self.decoder(x)  # as published: without the state before
            logits = self.logits(output[:, 0])  # B V
            losses.append(tf.nn.sparse_softmax_cross_entropy_with_logits(target[:, t], logits))
            word = target[:, t]
        return tf.stack(losses, axis=1), tf.cast(target != PAD, tf.float32)  # B T, B T

    def train_step(self, batch: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Learn from source [B, S] and target [B, T]."""
        with tf.GradientTape() as tape:
            nll, mask = self.losses(*batch)
            loss = tf.reduce_sum(tf.reduce_mean(nll * mask, axis=0))
        variables = self.trainable_variables
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return {"loss": loss}


def padded_batches(pairs: EncodedPairs, epoch: int = 0) -> tf.data.Dataset:
    """Return batches drawn at random, all padded to the longest sentences of the data."""
    longest = [int(length) for length in pairs.lengths.max(axis=0)]
    order = epoch_order(len(pairs.lengths), seed=1, epoch=epoch)
    numbers = [order[start : start + BATCH_SIZE] for start in range(0, len(order) - BATCH_SIZE + 1, BATCH_SIZE)]

    def make_batch(numbers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        sides = zip((pairs.sources, pairs.targets), longest, strict=True)
        padded = [tf.gather(side, numbers).to_tensor(PAD, shape=[None, length]) for side, length in sides]
        return tuple(tf.ensure_shape(side, [BATCH_SIZE, None]) for side in padded)

    return batches_of(numbers, make_batch)


def in_2018(pairs: EncodedPairs, sizes: tuple[int, int]) -> Callable[[], None]:
    """Return some steps as in 2018, whole in a graph."""
    trainer.set_seed_and_precision(1, "float32")
    model = Translator2018(*sizes)
    model.compile(keras.optimizers.Adam())
    batches = padded_batches(pairs)
    first = next(iter(batches))
    model.train_step(first)  # creates all variables
    return some_steps(tf.function(model.train_step), iter(batches.repeat()))


def here(pairs: EncodedPairs, sizes: tuple[int, int], precision: str, gru: type = GRU) -> Callable[[], None]:
    """Return some steps of the example at the same sizes, on batches of like lengths."""
    trainer.set_seed_and_precision(1, precision)
    model = Translator(*sizes, EMBEDDING, UNITS // 2, UNITS, UNITS, encoder_gru=gru).build_weights()
    model.compile(Adam())
    model.optimizer.build(model.trainable_variables)
    batches = pairs.batches(BATCH_SIZE, seed=1, epoch=0)
    step = tf.function(model.train_step, input_signature=[batches.element_spec])
    return some_steps(step, iter(batches.repeat()))


def pytorch(pairs: EncodedPairs, sizes: tuple[int, int], precision: str) -> Callable[[], None]:
    """Return some steps of the same model in PyTorch, on the same batches."""
    from benchmarks.translation_pytorch import training_step

    batches = pairs.batches(BATCH_SIZE, seed=1, epoch=0)
    return some_steps(training_step(sizes, EMBEDDING, UNITS, precision), iter(batches.repeat()))


def some_steps(step: Callable, batches: Iterator) -> Callable[[], None]:
    """Return a function that makes the next `STEPS` steps."""

    def run() -> None:
        for _ in range(STEPS):
            float(step(next(batches))["loss"])

    return run


def main(data_dir: Path | None = None, turns: int = 20) -> None:
    """Measure and save the table.

    Args:
        data_dir: the download cache.
        turns: of some steps each.
    """
    corpus = load_corpus("spa-eng", data_dir=data_dir)
    shortest = sorted(corpus.train, key=lambda pair: len(pair[1]))[:PAIRS]  # as the file was: by the English letters
    source_tokenizer, target_tokenizer = (
        WordTokenizer.build([pair[side] for pair in shortest], 1) for side in range(2)
    )
    pairs, sizes = (
        EncodedPairs(shortest, source_tokenizer, target_tokenizer),
        (len(source_tokenizer), len(target_tokenizer)),
    )
    ways = {
        "as in 2018, whole in a graph, float32": in_2018(pairs, sizes),
        "here, with Keras' GRU, float32": here(pairs, sizes, "float32", keras.layers.GRU),
        "here, float32": here(pairs, sizes, "float32"),
        "here, bfloat16": here(pairs, sizes, "bfloat16"),
    }
    if importlib.util.find_spec("torch"):
        ways |= {f"PyTorch, {precision}": pytorch(pairs, sizes, precision) for precision in ("float32", "bfloat16")}
    else:
        print("PyTorch is not installed: left out")
    seconds = alternate(ways, turns)
    baseline = next(iter(seconds.values()))
    float32, bfloat16 = (ratio(seconds[f"here, {precision}"], baseline) for precision in ("float32", "bfloat16"))
    means = ", ".join(f"{length:.1f}" for length in pairs.lengths.mean(axis=0))
    most = ", ".join(f"{length}" for length in pairs.lengths.max(axis=0))
    Table(
        "Translation: training at the sizes of 2018",
        f"Pairs a second, medians of {turns} turns of {STEPS} steps, of the {len(shortest):,} pairs with the shortest "
        f"targets (source and target {means} tokens in the mean, {most} at most; {sizes[0]:,} and {sizes[1]:,} words); "
        f"embedding {EMBEDDING}, {UNITS:,} units, batches of {BATCH_SIZE}, Adam. As in 2018: padded to the longest of "
        "all, keys and logits inside a loop over words. Here: batches of like length, keys and logits outside.",
        ["way", "pairs a second", "times 2018"],
        [
            [name, f"{STEPS * BATCH_SIZE / statistics.median(times):,.0f}", f"{ratio(times, baseline):.2f}"]
            for name, times in seconds.items()
        ],
        goals=[
            goal(
                "translation, training, times 2018, float32",
                ratio(seconds["here, float32"], baseline),
                least=4,
                form=".1f",
            ),
            goal("the same in bfloat16", bfloat16, least=4, form=".1f"),
        ],
    ).save()


if __name__ == "__main__":
    tyro.cli(main)
