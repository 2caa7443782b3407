"""What the example's recipe is worth: the same minutes of training on MNIST, with one thing changed at a time.

python -m benchmarks.dcgan_recipes --data-dir DIR

Each variant trains for the same time and generates 10,000 images. They are measured as `evaluate` does, against the
10,000 test images. "public tutorial" is benchmarks/plain_dcgan.py. Variants that depend on the machine's speed need
a quiet machine.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import keras
import tensorflow as tf
import tyro

from benchmarks.plain_dcgan import BATCH_SIZE, PlainDCGAN
from common.training import trainer
from examples.dcgan import model as networks
from examples.dcgan.config import PRESETS, Config
from examples.dcgan.data import ImageSet, load_images, training_batches
from examples.dcgan.demo import ImageGenerator
from examples.dcgan.evaluate import EVALUATION_SEED, MAX_SAMPLES, measure_classes
from examples.dcgan.metrics.classifier import load_or_train_classifier
from examples.dcgan.train import build_model


class ResizeThenConvolve(keras.layers.Layer):
    """Double the size of a feature map: repeat every pixel, then convolve (Odena et al. 2016)."""

    def __init__(self, filters: int, **options):
        """Create the two layers."""
        super().__init__()
        self.resize = keras.layers.UpSampling2D(2)
        self.convolve = keras.layers.Conv2D(filters, 3, padding="same", kernel_initializer=networks.normal(), **options)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        """Return float32 [B, 2h, 2w, filters] of `x` [B, h, w, c]."""
        return self.convolve(self.resize(x))


def build_with_resize(config: Config, images: ImageSet) -> keras.Model:
    """Return the example's model with `ResizeThenConvolve` in the generator."""
    original, networks.upsample = networks.upsample, ResizeThenConvolve
    try:
        return build_model(config, images)
    finally:
        networks.upsample = original


QUICK = PRESETS["quick"]
VARIANTS: dict[str, tuple[Config, Callable]] = {
    "as in the example": (QUICK, build_model),
    "public tutorial": (replace(QUICK, batch_size=BATCH_SIZE), lambda config, images: PlainDCGAN()),
    "latest weights, no EMA": (replace(QUICK, ema_decay=0.0), build_model),
    "resize and convolution": (QUICK, build_with_resize),
    "without R1 penalty": (replace(QUICK, r1_gamma=0.0), build_model),
    "beta_1 0.9": (replace(QUICK, beta_1=0.9), build_model),
    "learning rates 2e-4": (
        replace(QUICK, generator_learning_rate=2e-4, discriminator_learning_rate=2e-4),
        build_model,
    ),
}


def train_for(seconds: float, config: Config, model: keras.Model, images: ImageSet) -> int:
    """Train `model` for so long and return the number of steps; the first, which compiles, is not counted in."""
    step, epoch, steps, started = None, 0, 0, 0.0
    while True:
        batches = training_batches(images.train, config.batch_size, config.seed, epoch)
        step = step or tf.function(model.train_step, input_signature=[batches.element_spec])
        for batch in batches.prefetch(2):
            step(batch)["generator_loss"].numpy()
            steps += 1
            started = started or time.monotonic()
            if time.monotonic() - started > seconds:
                return steps
        epoch += 1


def main(
    data_dir: Path | None = None,
    minutes: float = 9.0,
    seeds: Sequence[int] = (1, 2, 3),
    variants: Sequence[str] = ("as in the example", "public tutorial"),
) -> None:
    """Print a table of Frechet distances by variant and seed.

    Args:
        data_dir: the download cache.
        minutes: of training, for each.
        seeds: of initial weights, latents and order of the images.
        variants: which to train; "all" for every one.
    """
    images = load_images("mnist", data_dir=data_dir)
    classifier = load_or_train_classifier(images)
    print("| variant | seed | steps | Frechet distance | floor | Inception score | classes from | to |\n|" + "---|" * 8)
    for name in VARIANTS if "all" in variants else variants:
        distances = []
        for seed in seeds:
            config, build = VARIANTS[name]
            config = replace(config, seed=seed)
            trainer.set_seed_and_precision(seed, "float32")
            model = build(config, images)
            steps = train_for(60 * minutes, config, model, images)
            generated = ImageGenerator(model).sample(MAX_SAMPLES, EVALUATION_SEED)
            with TemporaryDirectory() as folder:
                metrics, _ = measure_classes(generated, images, classifier, Path(folder) / "classes.png")
            frequencies = metrics["class_frequencies"].values()
            distances.append(metrics["frechet_distance"])
            print(
                f"| {name} | {seed} | {steps} | {distances[-1]:.2f} | {metrics['frechet_floor']:.2f} | "
                f"{metrics['inception_score']:.2f} | {min(frequencies):.1%} | {max(frequencies):.1%} |",
                flush=True,
            )
        if len(distances) > 1:
            deviation = statistics.stdev(distances)
            print(f"| {name} | all | | {statistics.mean(distances):.2f} ± {deviation:.2f} | | | | |", flush=True)


if __name__ == "__main__":
    tyro.cli(main)
