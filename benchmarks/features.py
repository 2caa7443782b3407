"""Photos a second through the frozen networks of captioning, from JPEG files to features on disk.

python -m benchmarks.features --data-dir DIR
"""

import statistics
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import tyro

from benchmarks.measure import Table, alternate, goal, product
from common.data.skipped import SkippedExamples
from common.training import trainer
from examples.image_captioning.data import load_photos
from examples.image_captioning.download.image_files import Photo, resize
from examples.image_captioning.preprocess.feature_extractor import FeatureExtractor, load_extractor
from examples.image_captioning.preprocess.feature_store import BATCH, SHARD, extract_features

# fewer for the slow network: a whole shard would only take longer
PHOTOS = {"mobilenet_v2": SHARD, "inception_v3": 2 * BATCH}
GOALS = {"mobilenet_v2": 250, "inception_v3": 50}
PRECISIONS = {"float32": tf.float32, "bfloat16": tf.bfloat16}


def make_extractor(name: str, precision: str) -> FeatureExtractor:
    """Return an extractor whose network computes in that precision; its weights do not matter for speed."""
    extractor = load_extractor(name, "random")
    if precision == "float32":
        return extractor

    def in_bfloat16(layer: keras.Layer) -> keras.Layer:
        return layer.__class__.from_config(layer.get_config() | {"dtype": "mixed_bfloat16"})

    return replace(extractor, network=keras.models.clone_model(extractor.network, clone_function=in_bfloat16))


def extract(photos: Sequence[Photo], extractor: FeatureExtractor) -> None:
    """Decode, encode and write all photos."""
    with tempfile.TemporaryDirectory() as folder:
        extract_features(photos, extractor, Path(folder), SkippedExamples())


def gigaflops(network: keras.Model) -> float:
    """Return the billions of operations in the convolutions of a network for one picture."""
    kernels = ((layer.kernel.shape, layer.output.shape) for layer in network.layers if hasattr(layer, "kernel"))
    return sum(2e-9 * np.prod(kernel) * rows * columns for kernel, (_, rows, columns, _) in kernels)


def main(data_dir: Path | None = None, data: str = "flickr8k", turns: int = 20) -> None:
    """Measure and save the table.

    Args:
        data_dir: the download cache.
        data: as for `train`.
        turns: of each way.
    """
    trainer.set_seed_and_precision(1, "float32")
    photos = load_photos(data, SHARD, data_dir)[:SHARD]
    extractors = {(name, precision): make_extractor(name, precision) for name in GOALS for precision in PRECISIONS}
    ways: dict[object, Callable[[], object]] = {}
    for way, extractor in extractors.items():
        pixels = tf.zeros([BATCH, extractor.image_size, extractor.image_size, 3], tf.uint8)
        ways[way] = partial(extract, photos[: PHOTOS[extractor.name]], extractor)
        ways[*way, "network"] = partial(extractor, pixels)
    for name in GOALS:
        size = extractors[name, "float32"].image_size
        ways[name, "decode"] = lambda size=size: [resize(photo.open(), size) for photo in photos[:BATCH]]
    limits = {precision: product(dtype) for precision, dtype in PRECISIONS.items()}
    seconds = alternate(ways | {precision: limit for precision, (limit, _) in limits.items()}, turns)
    rows, goals = [], []
    for (name, precision), extractor in extractors.items():
        rate = PHOTOS[name] / statistics.median(seconds[name, precision])
        limit = limits[precision][1] / statistics.median(seconds[precision])
        alone = BATCH / statistics.median(seconds[name, precision, "network"])
        decoding = BATCH / statistics.median(seconds[name, "decode"])
        share = alone * gigaflops(extractor.network) / limit
        rows.append([name, precision, *(f"{each:,.0f}" for each in (rate, alone, decoding)), f"{share:.0%}"])
        if precision == "bfloat16":
            goals.append(goal(f"photos a second, {name} in bfloat16, decoding included", rate, least=GOALS[name]))
    work = " and ".join(f"{gigaflops(extractors[name, 'float32'].network):.1f}" for name in GOALS)
    Table(
        "Captioning: features of photos",
        f"Photos a second, medians of {turns} turns: JPEG files of {data} decoded, encoded and written, "
        f"{' and '.join(map(str, PHOTOS.values()))} of them; their network alone, in batches of {BATCH}; decoding and "
        f"resizing alone, in one thread. Limit: the convolutions of the network alone ({work} billion operations a "
        "photo) against a product of 6,400 x 1,024 by 1,024 x 3,072 of that precision.",
        ["network", "precision", "from file to file", "network alone", "decoding alone", "of the limit"],
        rows,
        goals=goals,
    ).save()


if __name__ == "__main__":
    tyro.cli(main)
