"""Whether steps wait for data: their time with the real input pipeline, beside that with the same batches in memory.

python -m benchmarks.pipeline --data-dir DIR
"""

import itertools
import statistics
from collections.abc import Callable, Iterable
from pathlib import Path

import tensorflow as tf
import tyro

from benchmarks.measure import Table, alternate
from common import training
from examples.dcgan import config as dcgan
from examples.dcgan import data as dcgan_data
from examples.dcgan.train import build_model as build_dcgan
from examples.nmt_attention import config as translation
from examples.nmt_attention import data as translation_data
from examples.nmt_attention import train as translation_train
from examples.text_generation import config as writing
from examples.text_generation import data as writing_data
from examples.text_generation import train as writing_train

STEPS = 6  # in a turn


def prepare_writing(data_dir: Path | None):
    """Return model and batches of the `quick` preset of text generation."""
    config = writing.PRESETS["quick"]
    training.prepare(config.seed, config.precision)
    corpus = writing_data.load_corpus(config.data, config.window, data_dir)
    model = writing_train.build_model(config, len(corpus.vocabulary))
    model.compile(writing_train.build_optimizer(config, writing_train.build_schedule(config, 1000)))
    return model, writing_data.training_batches(corpus.train, config.batch_size, config.window, config.seed, epoch=0)


def prepare_translation(data_dir: Path | None):
    """Return model and batches of the `quick` preset of translation."""
    config = translation.PRESETS["quick"]
    training.prepare(config.seed, config.precision)
    corpus = translation_data.load_corpus(config.data, **config.corpus(), data_dir=data_dir)
    model = translation_train.build_model(config, len(corpus.source_words), len(corpus.target_words))
    model.compile(translation_train.build_optimizer(config, translation_train.build_schedule(config, 1000)))
    pairs = translation_data.EncodedPairs(corpus.train, corpus.source_words, corpus.target_words)
    return model, pairs.batches(config.batch_size, config.seed, epoch=0)


def prepare_dcgan(data_dir: Path | None):
    """Return model and batches of the `quick` preset of DCGAN."""
    config = dcgan.PRESETS["quick"]
    training.prepare(config.seed, config.precision)
    images = dcgan_data.load_images(config.data, data_dir=data_dir)
    return build_dcgan(config, images), dcgan_data.training_batches(
        images.train, config.batch_size, config.seed, epoch=0
    )


def steps_over(step: Callable, batches: Iterable) -> Callable[[], None]:
    """Return a function that takes the training step on the next batches, as the training loop does."""
    iterator = iter(batches)

    def run() -> None:
        for batch in itertools.islice(iterator, STEPS):
            for value in step(batch).values():
                float(value)

    return run


def main(data_dir: Path | None = None, turns: int = 20) -> None:
    """Measure and save the table.

    Args:
        data_dir: the download cache.
        turns: of some steps each.
    """
    rows = []
    for prepare in (prepare_writing, prepare_translation, prepare_dcgan):
        model, batches = prepare(data_dir)
        step = tf.function(model.train_step, input_signature=[batches.element_spec])
        some = batches.take(STEPS)
        ways = {  # prefetched is one batch only, so that no more than that is prepared while the other has its turn
            "pipeline": steps_over(step, some.repeat().prefetch(1)),
            "memory": steps_over(step, itertools.cycle(list(some))),
        }
        seconds = alternate(ways, turns)
        pipeline, memory = (statistics.median(seconds[way]) / STEPS for way in ways)
        shares = [piped / kept - 1 for piped, kept in zip(seconds["pipeline"], seconds["memory"], strict=True)]
        rows.append([prepare.__name__, f"{pipeline:.3f}", f"{memory:.3f}", f"{statistics.median(shares):+.1%}"])
    Table(
        "Input pipeline",
        f"Seconds of a training step of the `quick` presets, medians of {turns} turns of {STEPS} steps: on "
        f"{STEPS} batches that the pipeline prepares again and again, and on the same batches kept in memory.",
        ["example", "pipeline", "memory", "slower by"],
        [[name.removeprefix("prepare_"), *figures] for name, *figures in rows],
    ).save()


if __name__ == "__main__":
    tyro.cli(main)
