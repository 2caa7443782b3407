"""Pairs trained a second, and sentences translated a second, beside the plain way of doing the same.

python -m benchmarks.translation_speed --run runs/nmt_attention/quick

Both ways run in this process, on the same batches, turn by turn, so that their ratio stands though the speed of the
machine varies. The plain way to train: batches drawn at random, keys projected and logits computed for every word anew.
The plain way to translate: one sentence at a time, one word at a time, eagerly.
"""

import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tensorflow as tf
import tyro

from common import training
from common.pipeline import batches_of, epoch_order
from common.run import Run
from examples.nmt_attention.config import Config
from examples.nmt_attention.data import EncodedPairs, load_corpus
from examples.nmt_attention.demo import SentenceTranslator
from examples.nmt_attention.encoder_decoder import Decoder
from examples.nmt_attention.text import END, PAD, START, clean, tokenise
from examples.nmt_attention.train import build_model, build_optimizer, build_schedule


class PlainDecoder(Decoder):
    """The same decoder with everything computed inside the loop."""

    def call(self, words, values, mask, training=False):
        """Do as `Decoder.call`."""
        memory, state = self.remember(values, mask)
        embedded = self.dropout(tf.cast(self.embedding(words), self.compute_dtype), training=training)  # B T E

        def step(before, word):
            again = memory._replace(keys=self.attention.project_keys(values))
            state, context, weights = self.step(self.word_gates(word), before[0], again)
            return state, self.logits(word, state, context, self.output_table()), weights

        empty = tf.zeros([tf.shape(words)[0], self.embedding.input_dim])
        start = (state, empty, tf.zeros_like(mask, tf.float32))
        _, logits, weights = tf.scan(step, tf.transpose(embedded, [1, 0, 2]), start)
        return tf.transpose(logits, [1, 0, 2]), tf.transpose(weights, [1, 0, 2])


def random_batches(pairs: EncodedPairs, batch_size: int) -> tf.data.Dataset:
    """Return batches drawn at random, each padded to its own longest."""
    order = epoch_order(len(pairs.lengths), seed=1, epoch=0)
    numbers = np.array_split(order, -(-len(order) // batch_size))
    return batches_of(
        numbers, lambda n: tuple(tf.gather(side, n).to_tensor(PAD) for side in (pairs.sources, pairs.targets))
    )


def training_speed(config: Config, corpus, steps: int) -> dict[str, list[float]]:
    """Return pairs a second of some turns of `steps` steps, here and in the plain way."""
    pairs = EncodedPairs(corpus.train, corpus.source_words, corpus.target_words)
    ways = {
        "here": pairs.batches(config.batch_size, seed=1, epoch=0),
        "plain": random_batches(pairs, config.batch_size),
    }
    run_steps = {}
    for name, batches in ways.items():
        training.prepare(config.seed, config.precision)
        model = build_model(config, len(corpus.source_words), len(corpus.target_words))
        if name == "plain":
            model.decoder.__class__ = PlainDecoder
        model.compile(build_optimizer(config, build_schedule(config, 1000)))
        step = tf.function(model.train_step, input_signature=[batches.element_spec])
        iterator = iter(batches.repeat())
        step(next(iterator))  # compiles

        def turn(step=step, iterator=iterator) -> int:
            return sum(len(step(batch) and batch[0]) for batch in (next(iterator) for _ in range(steps)))

        run_steps[name] = turn
    return alternate(run_steps)


def translation_speed(translator: SentenceTranslator, sentences: list[str]) -> dict[str, list[float]]:
    """Return sentences a second of some turns, by way of translating."""
    few = sentences[:40]

    def plain() -> int:
        for sentence in few:
            translate_plainly(translator, sentence)
        return len(few)

    ways: dict[str, Callable[[], int]] = {"plain, one at a time": plain}
    for name, some, beam, batch_size in (
        ("greedy, one at a time", few, 1, 1),
        ("greedy, batches of 64", sentences, 1, 64),
        ("beam 5, one at a time", few, 5, 1),
        ("beam 5, batches of 64", sentences, 5, 64),
    ):
        ways[name] = lambda s=some, b=beam, n=batch_size: len(translator.translate(s, b, batch_size=n))
    for way in ways.values():
        way()  # compiles
    return alternate(ways)


def translate_plainly(translator: SentenceTranslator, sentence: str) -> list[int]:
    """Translate one sentence greedily, eagerly."""
    words, model = translator.source_words, translator.model
    ids = words.encode(words.true_case(tokenise(clean(sentence))))[None]
    mask = tf.ones(ids.shape, bool)
    memory, state = model.decoder.remember(model.encoder(tf.constant(ids), mask), mask)
    written, read = [START], model.decoder.reader()
    while written[-1] != END and len(written) < 2 * ids.shape[1] + 10:
        logits, state, _ = read(tf.constant(written[-1:]), state, memory)
        written.append(int(tf.argmax(logits[0])))
    return written


def alternate(ways: dict[str, Callable[[], int]], turns: int = 3) -> dict[str, list[float]]:
    """Run each way in turn; return for each how many a second it did in each of its turns."""
    speeds: dict[str, list[float]] = {name: [] for name in ways}
    for _ in range(turns):
        for name, way in ways.items():
            started = time.perf_counter()
            count = way()
            speeds[name].append(count / (time.perf_counter() - started))
    return speeds


def main(run: Path, data_dir: Path | None = None, steps: int = 30, sentences: int = 640) -> None:
    """Print two tables.

    Args:
        run: a trained run, for its settings, data and model.
        data_dir: the download cache, if no longer the one of training.
        steps: of training a turn; there are three turns.
        sentences: of the test split to translate.
    """
    trained = Run.open(run, Config.EXAMPLE)
    config = Config.from_settings(trained.read_config()["settings"])
    corpus = load_corpus(config.data, **config.corpus(), data_dir=data_dir or trained.read_config()["data_dir"])
    print(f"| training, {config.precision} | pairs a second | ratio |\n|---|---|---|")
    print_table(training_speed(config, corpus, steps), "plain")
    print("\n| translating, float32 | sentences a second | ratio |\n|---|---|---|")
    translator = SentenceTranslator.load(trained)
    print_table(
        translation_speed(translator, [source for source, _ in corpus.test][:: len(corpus.test) // sentences or 1]),
        "plain, one at a time",
    )


def print_table(speeds: dict[str, list[float]], baseline: str) -> None:
    """Print the median speed of each way, and the median over the turns of its ratio to the baseline."""
    for name, each in speeds.items():
        ratio = statistics.median(mine / theirs for mine, theirs in zip(each, speeds[baseline], strict=True))
        print(f"| {name} | {statistics.median(each):,.0f} | {ratio:.1f} |", flush=True)


if __name__ == "__main__":
    tyro.cli(main)
