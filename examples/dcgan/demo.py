# %% [markdown]
# # DCGAN: the demonstration
#
# A trained generator is a map from noise to images. Every point of the noise space is an image, and neighbouring points
# are similar images: so one can not only draw images at random, but also walk from one to another.

# %%
"""Step 5: make images with the trained generator, and show how it learned to."""

from collections.abc import Sequence
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from PIL import Image

from common.app.outputs import Outputs
from common.data.images import from_pixels, grid, read_image, save_image
from common.errors import UserError
from common.training import trainer
from common.training.checkpoints import restore_weights
from common.training.run_directory import Run
from common.viz import figures

# %% tags=["module"]
from examples.dcgan.config import Config
from examples.dcgan.data import to_bytes
from examples.dcgan.model import DCGAN

# %% [markdown]
# ## Step 5: make images

# %%
FRAMES_A_LEG = 24  # from one stop of a walk to the next
BIRTH_STEPS = [2**power for power in range(4, 13)]  # 16 to 4,096
_AT_ONCE = 256  # images made at once


def draw_noise(count: int, noise_dim: int, seed: int) -> tf.Tensor:
    """Return float32 [count, Z] from N(0, 1), the same for the same seed, whatever was drawn before."""
    return tf.random.stateless_normal([count, noise_dim], seed=[seed, 0])


class ImageGenerator:
    """Makes images with a trained model."""

    def __init__(self, model: DCGAN):
        """Compile nothing yet: that happens at the first use."""
        self.model = model
        self._make = tf.function(
            lambda noise: to_bytes(model(noise)), input_signature=[tf.TensorSpec([None, model.noise_dim])]
        )

    @classmethod
    def load(cls, run: Run) -> "ImageGenerator":
        """Restore the weights of a run; the run directory alone is enough.

        Raises:
            UserError: the run has no checkpoint yet, or it is damaged.
        """
        trained = run.read_config()
        size_and_channels = {name: trained.data.get(name) for name in ("image_size", "channels")}
        config = Config.from_settings(trained.settings | size_and_channels)
        if None in size_and_channels.values():
            raise UserError(f"{run.config}: does not tell the size of the images; restore it from a copy")
        trainer.prepare(config.seed, config.precision)
        model = DCGAN(config.image_size, config.channels, **config.architecture()).build_weights()
        restore_weights(run.checkpoints, model)
        return cls(model)

    def make(self, noise: tf.Tensor) -> np.ndarray:
        """Return the images, uint8 [N, H, W, C], that noise float32 [N, Z] stands for."""
        parts = [self._make(noise[start : start + _AT_ONCE]).numpy() for start in range(0, len(noise), _AT_ONCE)]
        return np.concatenate(parts)  # N H W C

    def draw(self, count: int, seed: int) -> np.ndarray:
        """Return `count` images, uint8 [count, H, W, C], from the noise that `seed` decides."""
        return self.make(draw_noise(count, self.model.noise_dim, seed))


# %% [markdown]
# ### A walk through the noise space
#
# In a hundred dimensions nearly all noise vectors have about the same length, $\sqrt{100}$. Halfway along the straight
# line between two of them is a vector that is much too short, one that the generator never saw in training. So the walk
# follows the arc between the two instead, *spherical interpolation* (White 2016, arXiv:1609.04468).


# %%
def walk(stops: Sequence[tf.Tensor], frames_a_leg: int) -> list[tf.Tensor]:
    """Return noise along the arcs from each stop to the next, and from the last back to the first.

    Args:
        stops: float32 [N, Z] each; all N vectors walk at the same time.
        frames_a_leg: how many steps from stop to stop.
    """
    shares = [step / frames_a_leg for step in range(frames_a_leg)]
    legs = zip(stops, [*stops[1:], stops[0]], strict=True)
    return [spherical_interpolation(start, end, share) for start, end in legs for share in shares]


def spherical_interpolation(start: tf.Tensor, end: tf.Tensor, share: float) -> tf.Tensor:
    """Return the points, float32 [N, Z], at `share` of the way along the arcs from `start` to `end`, both [N, Z]."""
    cosine = tf.reduce_sum(tf.linalg.l2_normalize(start, axis=1) * tf.linalg.l2_normalize(end, axis=1), axis=1)  # N
    angle = tf.acos(tf.clip_by_value(cosine, -0.9999, 0.9999))[:, None]  # N 1
    return (tf.sin((1 - share) * angle) * start + tf.sin(share * angle) * end) / tf.sin(angle)  # N Z


def walk_frames(generator: ImageGenerator, seeds: Sequence[int], samples: int) -> list[Image.Image]:
    """Return pictures in which `samples` images morph from those of each seed to those of the next, and back."""
    stops = [draw_noise(samples, generator.model.noise_dim, seed) for seed in seeds]
    return [sheet(generator.make(noise)).convert("RGB") for noise in walk(stops, FRAMES_A_LEG)]


def draw_walk(generator: ImageGenerator, seeds: Sequence[int], samples: int, path: Path) -> None:
    """Write a walk as a GIF."""
    figures.save_gif(walk_frames(generator, seeds, samples), path, **_walk_options(generator))


def _walk_options(generator: ImageGenerator) -> dict[str, int]:
    return {"frame_ms": 80, "last_ms": 80, "colours": colours(generator.model.image_shape[-1])}


def sheet(pictures: np.ndarray) -> Image.Image:
    """Lay out images uint8 [N, H, W, C] in a square, small ones enlarged."""
    return grid(pictures, columns=max(1, round(len(pictures) ** 0.5)), scale=max(1, 112 // pictures.shape[1] // 2))


def colours(channels: int) -> int:
    """Return how many colours a GIF of such images needs: shades of grey are fewer, and make it smaller."""
    return 16 if channels == 1 else 256


# %% [markdown]
# The `generate` command writes files that are named after the seeds, so that those of one never replace those of
# another.


# %%
def write_sheet(generator: ImageGenerator, count: int, seed: int, outputs: Outputs) -> Path:
    """Write the images of a seed as one picture and return its path.

    Raises:
        UserError: another file of that name is there; likewise `write_walk` and `write_files`.
    """
    name = source = f"seed_{seed}_{count}.png"
    outputs.require_free([name], source)
    return outputs.save_png(name, sheet(generator.draw(count, seed)), source)


def write_walk(generator: ImageGenerator, seeds: Sequence[int], samples: int, outputs: Outputs) -> Path:
    """Write a walk as a GIF and return its path."""
    name = f"walk_{'_'.join(map(str, seeds[:8]))}{'_and_on' if len(seeds) > 8 else ''}_{samples}.gif"
    source = f"walk {seeds} {samples}"
    outputs.require_free([name], source)
    return outputs.save_gif(name, walk_frames(generator, seeds, samples), source, **_walk_options(generator))


def write_files(generator: ImageGenerator, count: int, seed: int, outputs: Outputs) -> Path:
    """Write each image of a seed as a file of its own and return their folder."""
    names = [f"seed_{seed}_{number:04d}.png" for number in range(count)]
    for name in names:
        outputs.require_free([name], source=name)
    for name, pixels in zip(names, generator.draw(count, seed), strict=True):
        outputs.save_png(name, from_pixels(pixels), source=name)
    return outputs.folder


# %% [markdown]
# ### Watching it learn
#
# The same sixteen noise vectors, before training and after every epoch. Side by side, or as a GIF, one sees strokes
# come out of the fog, and then digits. Most of that happens in the first epoch, so there the pictures come at 16 steps,
# 32, 64 and so on.


# %%
class SampleEveryEpoch(keras.callbacks.Callback):
    """Draws the same 16 noise vectors as `samples/epoch_0000.png` (untrained), `epoch_0001.png` and so on.

    In between, in the first epoch, also as `epoch_0000_step_0016.png`, `..._0032.png` and so on.
    """

    def __init__(self, folder: Path, seed: int):
        """Remember what to draw; the model comes with training."""
        super().__init__()
        self.folder, self.seed = folder, seed

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        """Draw what the untrained model makes of it; a resumed run has that already."""
        self.generator = ImageGenerator(self.model)
        if not sample_path(self.folder, 0).exists():
            self._draw(0)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Note which epoch it is, which Keras counts from 0."""
        self.epoch = epoch

    def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
        """Draw some of the first steps."""
        if self.epoch == 0 and batch + 1 in BIRTH_STEPS:
            self._draw(0, step=batch + 1)

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Draw the sample of `epoch`."""
        self._draw(epoch + 1)

    def _draw(self, epochs_done: int, step: int = 0) -> None:
        save_image(sheet(self.generator.draw(16, self.seed)), sample_path(self.folder, epochs_done, step))


def sample_path(folder: Path, epochs_done: int, step: int = 0) -> Path:
    """Return where the sample after so many epochs, and so many steps of the next, stands."""
    return folder / (f"epoch_{epochs_done:04d}_step_{step:04d}.png" if step else f"epoch_{epochs_done:04d}.png")


def draw_training_gif(run: Run) -> None:
    """Draw the samples of this run, at least one epoch long, in order, as `figures/training.gif`.

    Raises:
        UserError: one of the samples is missing or damaged.
    """
    rows = run.read_metrics()
    births = [(0, step) for step in BIRTH_STEPS if step < rows[0]["step"]]
    epochs = [(int(row["epoch"]), 0) for row in rows]
    frames = []
    for epoch, step in [(0, 0), *births, *epochs]:
        sample = read_image(sample_path(run.samples, epoch, step))
        channels = len(sample.getbands())
        title = f"epoch {epoch} of {len(rows)}" if epoch else f"step {step}"
        frames.append(figures.titled(sample.convert("RGB"), title))
    figures.save_gif(frames, run.figures / "training.gif", frame_ms=400, colours=colours(channels))
