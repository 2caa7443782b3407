"""Images a second in training a DCGAN on MNIST: the example, Keras' `fit` on its networks, and the public tutorials.

python -m benchmarks.dcgan_training --data-dir DIR
"""

import statistics
from collections.abc import Callable
from pathlib import Path

import tensorflow as tf
import tyro

from benchmarks.measure import Table, alternate, goal, product, ratio
from benchmarks.plain_dcgan import BATCH_SIZE, IN_2018, TODAY, PlainDCGAN
from common.training import trainer
from examples.dcgan.config import PRESETS
from examples.dcgan.data import ImageSet, load_images, training_batches
from examples.dcgan.train import build_model

IMAGES = 1024  # in a turn
TUTORIAL_GIGAFLOPS = 116.6 / 256  # of the products of a step for an image, counted by hand
PRECISIONS = {"float32": tf.float32, "bfloat16": tf.bfloat16}


def some_steps(step: Callable, batches: tf.data.Dataset, batch_size: int) -> Callable[[], None]:
    """Return a function that trains on the next `IMAGES` images."""
    iterator = iter(batches.repeat())

    def run() -> None:
        for _ in range(IMAGES // batch_size):
            for value in step(next(iterator)).values():
                float(value)

    return run


def here(precision: str, images: ImageSet, with_fit: bool = False) -> Callable[[], object]:
    """Return steps of the example, made as its training loop makes them, or by `fit`."""
    config = PRESETS["quick"]
    trainer.set_seed_and_precision(config.seed, precision)
    model = build_model(config, images)
    batches = training_batches(images.train, config.batch_size, config.seed, epoch=0)
    if with_fit:
        endless, steps = batches.repeat(), IMAGES // config.batch_size
        return lambda: model.fit(endless, epochs=1, steps_per_epoch=steps, verbose=0)
    return some_steps(tf.function(model.train_step, input_signature=[batches.element_spec]), batches, config.batch_size)


def tutorial(precision: str, images: ImageSet, sizes: tuple) -> Callable[[], None]:
    """Return steps of the public tutorial, of today or of 2018."""
    trainer.set_seed_and_precision(1, precision)
    model = PlainDCGAN(sizes)
    return some_steps(
        tf.function(model.train_step), training_batches(images.train, BATCH_SIZE, seed=1, epoch=0), BATCH_SIZE
    )


def main(data_dir: Path | None = None, turns: int = 20) -> None:
    """Measure and save the table.

    Args:
        data_dir: the download cache.
        turns: of each way.
    """
    images = load_images("mnist", data_dir=data_dir)
    ways = {"the example, Keras' `fit`, float32": here("float32", images, with_fit=True)}
    for precision in PRECISIONS:
        ways[f"the public tutorial, {precision}"] = tutorial(precision, images, TODAY)
        ways[f"the notebook of 2018, {precision}"] = tutorial(precision, images, IN_2018)
        ways[f"the example, {precision}"] = here(precision, images)
    limits = {precision: product(dtype) for precision, dtype in PRECISIONS.items()}
    seconds = alternate(ways | {precision: limit for precision, (limit, _) in limits.items()}, turns)
    rates = {name: IMAGES / statistics.median(seconds[name]) for name in ways}
    rows = []
    for name, rate in rates.items():
        precision = name.split(", ")[-1]
        limit = limits[precision][1] / statistics.median(seconds[precision])
        share = f"{rate * TUTORIAL_GIGAFLOPS / limit:.0%}" if "tutorial" in name else ""
        rows.append(
            [name, f"{rate:,.0f}", f"{ratio(seconds[name], seconds['the public tutorial, float32']):.2f}", share]
        )
    Table(
        "DCGAN: training on MNIST",
        f"Images a second, medians of {turns} turns of {IMAGES:,} images. The example: its `quick` preset, batches of "
        f"{PRESETS['quick'].batch_size}. The public tutorial, and the notebook of 2018 with its smaller generator: "
        f"batches of {BATCH_SIZE}. Limit: the tutorial's {TUTORIAL_GIGAFLOPS:.2f} billion operations an image against "
        "a product of 6,400 x 1,024 by 1,024 x 3,072 of that precision.",
        ["way", "images a second", "times the tutorial in float32", "of the limit"],
        rows,
        goals=[
            goal(f"DCGAN, images a second, {name}", rates[name], least=1000)
            for name in ("the example, bfloat16", "the notebook of 2018, bfloat16", "the public tutorial, bfloat16")
        ],
    ).save()


if __name__ == "__main__":
    tyro.cli(main)
