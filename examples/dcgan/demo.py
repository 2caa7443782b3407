"""Step 5: generate images with the trained generator, and show samples of every epoch.

A trained generator maps every latent vector to an image, and similar vectors to similar images. So one can sample
images at random, and interpolate between them.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
from PIL import Image

from common.app.outputs import Outputs
from common.data.images import from_pixels, grid, read_image, save_image
from common.errors import UserError
from common.training import trainer
from common.training.checkpoints import restore_weights
from common.training.run_directory import RunDirectory
from common.training.samples import SampleCallback, evenly_spaced, sample_path
from common.viz import figures
from examples.dcgan.config import Config, parse_size
from examples.dcgan.data import to_bytes
from examples.dcgan.model import DCGAN

FRAMES_PER_SEGMENT = 24
"""Of an interpolation, from one waypoint to the next."""
EARLY_SAMPLE_STEPS = [2**power for power in range(4, 13)]
"""16 to 4,096: steps of the first epoch after which a sample is drawn."""
_MAX_BATCH = 256


def sample_latents(count: int, latent_dim: int, seed: int) -> tf.Tensor:
    """Return latents float32 [count, Z] from N(0, 1); they depend on nothing but the arguments."""
    return tf.random.stateless_normal([count, latent_dim], seed=[seed, 0])


class ImageGenerator:
    """Generate images as bytes with the EMA generator of a model."""

    def __init__(self, model: DCGAN):
        """Wrap a built model; it is compiled to a graph at the first use."""
        self.model = model
        latents = tf.TensorSpec([None, model.latent_dim])
        self._generate = tf.function(lambda z: to_bytes(model(z)), input_signature=[latents])

    @classmethod
    def load(cls, run: RunDirectory, model_class: type[DCGAN] = DCGAN, epoch: int | None = None) -> "ImageGenerator":
        """Restore the weights of a run, the last or those after `epoch`; nothing but the run directory is needed.

        Raises:
            UserError: the run has no checkpoint yet, or not of this epoch, or it is damaged.
        """
        trained = run.read_config()
        size_and_channels = {name: trained.data.get(name) for name in ("image_size", "channels")}
        config = Config.from_settings(trained.settings | size_and_channels)
        if None in size_and_channels.values():
            raise UserError(f"{run.config}: lacks the size or the channels of the images; restore it from a copy")
        trainer.set_seed_and_precision(config.seed, config.precision)
        model = model_class(parse_size(config.image_size), config.channels, **config.architecture()).build_weights()
        restore_weights(run.checkpoints, model, epoch)
        return cls(model)

    def generate(self, z: tf.Tensor) -> np.ndarray:
        """Return images uint8 [N, H, W, C] for latents `z` float32 [N, Z]."""
        batches = [self._generate(z[start : start + _MAX_BATCH]).numpy() for start in range(0, len(z), _MAX_BATCH)]
        return np.concatenate(batches)  # N H W C

    def sample(self, count: int, seed: int) -> np.ndarray:
        """Return images uint8 [count, H, W, C] for the latents of `seed`."""
        return self.generate(sample_latents(count, self.model.latent_dim, seed))


def sheet(images: np.ndarray) -> Image.Image:
    """Return images uint8 [N, H, W, C] as one picture, a square grid; small images are enlarged."""
    return grid(images, columns=max(1, round(len(images) ** 0.5)), scale=max(1, 112 // images.shape[1] // 2))


# In a hundred dimensions nearly all latents have about the same length, $\sqrt{100}$. The middle of the straight line
# between two of them is much shorter, unlike any latent of the training. So the interpolation follows the arc between
# the two instead, *spherical interpolation* (White 2016, arXiv:1609.04468). With the angle $\theta$ between them:
#
# $$z(\alpha) = \frac{\sin((1 - \alpha)\,\theta)}{\sin\theta}\,z_0 + \frac{\sin(\alpha\,\theta)}{\sin\theta}\,z_1$$
def spherical_interpolation(z0: tf.Tensor, z1: tf.Tensor, alpha: float) -> tf.Tensor:
    """Return latents float32 [N, Z] at the fraction `alpha` of the arcs from `z0` to `z1`, both float32 [N, Z]."""
    cosine = tf.reduce_sum(tf.linalg.l2_normalize(z0, axis=1) * tf.linalg.l2_normalize(z1, axis=1), axis=1)  # N
    theta = tf.acos(tf.clip_by_value(cosine, -0.9999, 0.9999))[:, None]  # N 1
    return (tf.sin((1 - alpha) * theta) * z0 + tf.sin(alpha * theta) * z1) / tf.sin(theta)  # N Z


def interpolation_frames(generator: ImageGenerator, seeds: Sequence[int], samples: int) -> list[Image.Image]:
    """Return pictures of `samples` images each, from the images of each seed to those of the next, and back."""
    waypoints = [sample_latents(samples, generator.model.latent_dim, seed) for seed in seeds]
    segments = zip(waypoints, [*waypoints[1:], waypoints[0]], strict=True)
    fractions = [frame / FRAMES_PER_SEGMENT for frame in range(FRAMES_PER_SEGMENT)]
    latents = [spherical_interpolation(z0, z1, alpha) for z0, z1 in segments for alpha in fractions]
    return [sheet(generator.generate(z)).convert("RGB") for z in latents]


def draw_interpolation(generator: ImageGenerator, seeds: Sequence[int], samples: int, path: Path) -> None:
    """Write an interpolation as a GIF."""
    figures.save_gif(interpolation_frames(generator, seeds, samples), path, **_gif_options(generator))


def _gif_options(generator: ImageGenerator) -> dict[str, int]:
    return {"frame_ms": 80, "last_ms": 80, "colours": palette_size(generator.model.channels)}


def palette_size(channels: int) -> int:
    """Return the number of colours of a GIF; shades of grey need fewer, which makes the file smaller."""
    return 16 if channels == 1 else 256


# The `generate` command names its files after the seeds, so that files of different seeds do not replace each other.
def write_sheet(generator: ImageGenerator, count: int, seed: int, outputs: Outputs) -> Path:
    """Write the images of a seed as one picture and return its path.

    Raises:
        UserError: another file of that name exists; likewise `write_interpolation` and `write_files`.
    """
    name = source = f"seed_{seed}_{count}.png"
    outputs.require_free([name], source)
    return outputs.save_png(name, sheet(generator.sample(count, seed)), source)


def write_interpolation(generator: ImageGenerator, seeds: Sequence[int], samples: int, outputs: Outputs) -> Path:
    """Write an interpolation as a GIF and return its path."""
    name = f"interpolation_{'_'.join(map(str, seeds[:8]))}{'_and_on' if len(seeds) > 8 else ''}_{samples}.gif"
    source = f"interpolation {seeds} {samples}"
    outputs.require_free([name], source)
    frames = interpolation_frames(generator, seeds, samples)
    return outputs.save_gif(name, frames, source, **_gif_options(generator))


def write_files(generator: ImageGenerator, count: int, seed: int, outputs: Outputs) -> Path:
    """Write each image of a seed to a file of its own and return their folder."""
    names = [f"seed_{seed}_{number:04d}.png" for number in range(count)]
    for name in names:
        outputs.require_free([name], source=name)
    for name, pixels in zip(names, generator.sample(count, seed), strict=True):
        outputs.save_png(name, from_pixels(pixels), source=name)
    return outputs.folder


# The images of the same sixteen latents are drawn before training and after every epoch. Most changes happen in the
# first epoch, so there they are also drawn after 16 steps, 32, 64 and so on.
class DrawSamples(SampleCallback):
    """Draw the images of the same 16 latents as `samples/epoch_0000.png` (untrained), `epoch_0001.png` and so on.

    During the first epoch also as `epoch_0000_step_0016.png`, `..._0032.png` and so on.
    """

    LAST_SUFFIX = ".png"

    def __init__(self, run: RunDirectory, generator: ImageGenerator, seed: int):
        super().__init__(run)
        self.generator, self.seed = generator, seed

    def write(self, epoch: int, logs: dict[str, float]) -> None:
        """Draw the sample after `epoch` epochs."""
        self._draw(sample_path(self.run, epoch, ".png"))

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Store the number of the epoch, which Keras counts from 0."""
        self.epoch = epoch

    def on_train_batch_begin(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Draw a sample after some steps of the first epoch: `batch` of them, counted from 0, are done."""
        if self.epoch == 0 and batch in EARLY_SAMPLE_STEPS:
            self._draw(early_sample_path(self.run, batch))

    def _draw(self, path: Path) -> None:
        save_image(sheet(self.generator.sample(16, self.seed)), path)


def early_sample_path(run: RunDirectory, step: int) -> Path:
    """Return the path of the sample after `step` steps of the first epoch."""
    return sample_path(run, 0, f"_step_{step:04d}.png")


def draw_training_gif(run: RunDirectory) -> None:
    """Draw the samples of a run of at least one epoch, in order, as `figures/training.gif`.

    A frame is shown for 400 ms, the last one for four seconds.

    Raises:
        UserError: one of the samples is missing or damaged.
    """
    rows = run.read_metrics()
    early_steps = [step for step in EARLY_SAMPLE_STEPS if step < rows[0]["step"]]
    samples = {"step 0": sample_path(run, 0, ".png")}
    samples |= {f"step {step}": early_sample_path(run, step) for step in early_steps}
    for row in rows:
        epoch = int(row["epoch"])
        samples[f"epoch {epoch} of {len(rows)}"] = sample_path(run, epoch, ".png")
    frames = []
    for title, path in evenly_spaced([*samples.items()]):
        sample = read_image(path)
        channels = len(sample.getbands())
        frames.append(figures.titled(sample.convert("RGB"), title))
    figures.save_gif(frames, run.figures / "training.gif", frame_ms=400, colours=palette_size(channels))
