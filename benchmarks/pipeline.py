"""Whether steps wait for data: their time with the real input pipeline, beside that with the same batches in memory.

python -m benchmarks.pipeline --data-dir DIR
"""

import atexit
import itertools
import shutil
import statistics
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
import tensorflow as tf
import tyro

from benchmarks.measure import Table, alternate, goal
from common.data.vocabulary import Vocabulary
from common.training import trainer
from examples.dcgan import config as dcgan
from examples.dcgan import data as dcgan_data
from examples.dcgan.train import build_model as build_dcgan
from examples.image_captioning import config as captioning
from examples.image_captioning import train as captioning_train
from examples.image_captioning.data import CaptionBatches, PhotoSet
from examples.image_captioning.demo import build_model as build_captioner
from examples.image_captioning.download.image_files import Photo
from examples.image_captioning.preprocess.feature_extractor import load_extractor
from examples.image_captioning.preprocess.feature_store import SHARD, FeatureStore
from examples.image_captioning.vocabulary import SPECIAL_TOKENS
from examples.nmt_attention import config as translation
from examples.nmt_attention import data as translation_data
from examples.nmt_attention import train as translation_train
from examples.text_generation import config as text
from examples.text_generation import data as text_data
from examples.text_generation import train as text_train

STEPS = 8  # in a turn; a multiple of four, as DCGAN computes its gradient penalty in every fourth step
PHOTOS = 1024  # whose features are random numbers: their size counts, and that they lie in files


def prepare_text_generation(data_dir: Path | None):
    """Return model and batches of the `quick` preset of text generation."""
    config = text.PRESETS["quick"]
    trainer.set_seed_and_precision(config.seed, "float32")
    corpus = text_data.load_corpus(config.data, config.window, data_dir)
    model = text_train.build_model(config, len(corpus.vocabulary))
    model.compile(text_train.build_optimizer(config, text_train.build_schedule(config, 1000)))
    return model, text_data.training_batches(corpus.train, config.batch_size, config.window, config.seed, epoch=0)


def prepare_nmt_attention(data_dir: Path | None):
    """Return model and batches of the `quick` preset of translation."""
    config = translation.PRESETS["quick"]
    trainer.set_seed_and_precision(config.seed, "float32")
    corpus = translation_data.load_corpus(config.data, **config.corpus(), data_dir=data_dir)
    model = translation_train.build_model(config, len(corpus.source_tokenizer), len(corpus.target_tokenizer))
    model.compile(translation_train.build_optimizer(config, translation_train.build_schedule(config, 1000)))
    pairs = translation_data.EncodedPairs(corpus.train, corpus.source_tokenizer, corpus.target_tokenizer)
    return model, pairs.batches(config.batch_size, config.seed, epoch=0)


def prepare_dcgan(data_dir: Path | None):
    """Return model and batches of the `quick` preset of DCGAN."""
    config = dcgan.PRESETS["quick"]
    trainer.set_seed_and_precision(config.seed, "float32")
    images = dcgan_data.load_images(config.data, data_dir=data_dir)
    return build_dcgan(config, images), dcgan_data.training_batches(
        images.train, config.batch_size, config.seed, epoch=0
    )


def prepare_image_captioning(data_dir: Path | None):
    """Return model and batches of the `quick` preset of captioning, on features that are read from files."""
    config = captioning.PRESETS["quick"]
    trainer.set_seed_and_precision(config.seed, "float32")
    extractor = load_extractor("mobilenet_v2", "random")
    rng = np.random.default_rng(1)
    vocabulary = Vocabulary([*SPECIAL_TOKENS, *(f"word{number}" for number in range(2534))])
    lengths = rng.integers(6, 17, size=(PHOTOS, 5))
    words = [[" ".join(rng.choice(vocabulary.symbols[4:], n)) for n in of_photo] for of_photo in lengths]
    photos = [Photo(f"{number}", captions, "train", Path()) for number, captions in enumerate(words)]
    folder = Path(tempfile.mkdtemp())
    atexit.register(shutil.rmtree, folder)
    store = FeatureStore(folder, extractor)
    for start in range(0, PHOTOS, SHARD):
        features = rng.uniform(0, 3, size=(min(SHARD, PHOTOS - start), *extractor.shape)).astype(extractor.dtype)
        store.path(start // SHARD).write_bytes(features.tobytes())
    batches = CaptionBatches(
        PhotoSet(photos, np.arange(PHOTOS), store), vocabulary, config.batch_size, config.max_length
    )
    model = build_captioner(config, len(vocabulary), extractor)
    model.compile(captioning_train.build_optimizer(config, captioning_train.build_schedule(config, 1000)))
    return model, batches(config.seed, 0)


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
    rows, changes = [], []
    for prepare in (prepare_text_generation, prepare_nmt_attention, prepare_dcgan, prepare_image_captioning):
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
        changes.append(statistics.median(shares))
        rows.append(
            [prepare.__name__.removeprefix("prepare_"), f"{pipeline:.3f}", f"{memory:.3f}", f"{changes[-1]:+.1%}"]
        )
    Table(
        "Input pipeline",
        f"Seconds of a training step of the `quick` presets, medians of {turns} turns of {STEPS} steps: on "
        f"{STEPS} batches that the pipeline prepares again and again, and on the same batches kept in memory, in "
        "float32. Change: the median over turns of pipeline / memory - 1; below 0 the pipeline was not slower.",
        ["example", "pipeline", "memory", "change"],
        rows,
        goals=[goal("steps slower for the input pipeline, the worst example", max(changes), most=0.05, form=".1%")],
    ).save()


if __name__ == "__main__":
    tyro.cli(main)
