"""The settings with their reasons, and the presets. Each field is a command-line flag, its docstring the help text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Interval

from common.app import cli
from common.app.cli import OrNone, OutputOptions, TrainOptions
from common.app.intervals import MAX_SEED, Count, Fraction, NotNegative, Positive, Seed, Width
from common.errors import UserError

MAX_SIDE = 512  # pixels


@dataclass(frozen=True, kw_only=True)
class Config(TrainOptions):
    """Train a generator and a discriminator against each other, or resume the run found in --run-dir.

    - A first run, without network access: train --preset tiny
    - Handwritten digits, nine minutes on 2 cores: train; better, in 42 to 57 minutes on one core: train --preset full
    - Your own pictures: train --data my_pictures --image-size 64 --run-dir runs/mine
    """

    EXAMPLE: ClassVar[str] = "dcgan"
    DATA_SETS: ClassVar[tuple[str, ...]] = ("mnist", "tiny")

    ADAPTABLE: ClassVar[tuple[str, ...]] = (*TrainOptions.ADAPTABLE, "ema_decay")
    RUNTIME: ClassVar[frozenset[str]] = TrainOptions.RUNTIME | {"keep_every"}
    INHERITED: ClassVar[tuple[str, ...]] = ("image_size", "channels", "base_channels", "latent_dim")

    data: str = "mnist"
    """mnist, tiny (digits that the code draws, in colour with --channels 3), tfds:NAME (for instance
    tfds:fashion_mnist), or a folder of pictures. Pictures are resized, after the borders that do not fit the
    proportions are cropped."""
    max_skipped: Fraction = 0.1
    """Largest fraction of unreadable pictures in a folder; they are counted and left out."""
    image_size: OrNone[int | str] = None
    """Size in pixels: one number for squares, or height x width, such as 64x96.
    [default: that of the data if its pictures are squares of one size up to 512; else, and for a folder, 64]"""
    channels: OrNone[Literal[1, 3]] = None
    """1: grey; 3: colour. [default: that of the data]"""
    patience: OrNone[Count] = None
    """Not for a GAN, which has no validation loss."""
    epochs: Count = 13
    """Passes over the images."""
    keep_every: OrNone[Count] = None
    """Keep the weights after every so many epochs, for `generate --epoch`; late in a training a GAN may get worse.
    [default: keep the last ones]"""
    batch_size: Width = 64
    """Images per step. Small batches give more steps in the same time, which short runs need."""
    latent_dim: Width = 100
    """Length of the latent vector z that the generator maps to an image."""
    base_channels: Annotated[int, Interval(ge=1, le=1024)] = 32
    """Channels of the hidden feature map with the largest height and width. Where these halve, the channels double."""
    generator_learning_rate: Positive = 1e-3
    """Adam's learning rate for the generator."""
    discriminator_learning_rate: Positive = 3e-4
    """Adam's learning rate for the discriminator, which learns faster at the same rate; lower it if it dominates."""
    beta_1: Fraction = 0.5
    """Adam's decay of the mean gradient, as in the paper. With the usual 0.9 the two networks oscillate."""
    real_label: Annotated[float, Interval(gt=0.5, le=1)] = 1.0
    """Label of real images in the discriminator's loss. 0.9, one-sided label smoothing, makes it less confident."""
    r1_gamma: OrNone[NotNegative] = None
    """Weight of the penalty on the discriminator's gradient (R1, in every fourth step); 0: none. It keeps the
    discriminator from dominating. [default: in proportion to the pixels, 1 for 64 x 64, 0.19 for 28 x 28]"""
    ema_decay: Fraction = 0.999
    """Decay of the EMA of the generator's weights, an average over about 1 / (1 - this) steps; 0: no average."""

    def __post_init__(self):
        super().__post_init__()
        if self.image_size is not None:
            parse_size(self.image_size)
        if self.patience is not None:
            raise UserError("--patience: a GAN has no validation loss; use --epochs or --max-minutes")

    def defaults(self) -> dict[str, Any]:
        """Return the defaults of the settings, which runs of earlier versions may lack; they had no penalty."""
        return super().defaults() | {"r1_gamma": 0.0}

    def architecture(self) -> dict[str, Any]:
        """Return the arguments of `DCGAN` apart from the shape of the images."""
        names = ("base_channels", "latent_dim", "ema_decay", "real_label")
        return {name: getattr(self, name) for name in names}


def parse_size(image_size: int | str) -> tuple[int, int]:
    """Return height and width of "64x96", or of 64, which is a square.

    Raises:
        UserError: it is no such size, a side is not from 8 to 512, or one is more than four times the other.
    """
    sides = str(image_size).lower().split("x")
    numbers = [int(side) for side in sides if side.isdecimal() and len(side) <= 4]
    height, width = numbers[0] if numbers else 0, numbers[-1] if numbers else 0
    valid = len(numbers) == len(sides) <= 2 and all(8 <= side <= MAX_SIDE for side in numbers)
    if not valid or max(height, width) > 4 * min(height, width):
        raise UserError(
            f"--image-size: expected a number or height x width, such as 64 or 64x96, from 8 to {MAX_SIDE} and one "
            f"side at most four times the other, got {image_size}"
        )
    return height, width


def format_size(height: int, width: int) -> int | str:
    """Return a size as `parse_size` takes it, a number for a square."""
    return height if height == width else f"{height}x{width}"


# The name of a further preset also goes into `TrainOptions.preset`.
PRESETS = {
    "quick": Config(),  # the defaults above
    "tiny": Config(
        preset="tiny", data="tiny", precision="float32", xla=False, epochs=16, batch_size=32, ema_decay=0.99
    ),
    "full": Config(preset="full", epochs=12, base_channels=64),
}


@dataclass(frozen=True, kw_only=True)
class GenerateOptions(OutputOptions):
    """Generate images with the trained generator: a sheet of many, single files, or an interpolation between seeds.

    - A sheet of 64: generate --run runs/dcgan/quick
    - A thousand files: generate --run runs/dcgan/quick --samples 1000 --files
    - As it was after epoch 5 of a run with --keep-every 5: generate --run DIR --epoch 5
    - A GIF that interpolates between four seeds: generate --run runs/dcgan/quick --interpolate 1 2 3 4
    """

    samples: OrNone[Annotated[int, Interval(ge=1, le=1_000_000)]] = None
    """Number of images. [default: 64; 16 side by side in an interpolation]"""
    seed: Seed = 1
    """The same seed generates the same images."""
    files: bool = False
    """Write one PNG for each image instead of one sheet."""
    epoch: OrNone[Count] = None
    """Use the weights after this epoch, if `train --keep-every` kept them. [default: the last]"""
    interpolate: tuple[int, ...] = ()
    """Seeds to interpolate between: writes a GIF from the images of each seed to those of the next, and back."""
    out: OrNone[Path] = None
    """Folder to write to. [default: RUN/generated, or with --epoch a folder of the epoch in it]"""

    def __post_init__(self):
        super().__post_init__()
        if not self.files and self.samples is not None and self.samples > 10_000:
            raise UserError(f"--samples: expected at most 10,000 without --files, got {self.samples}")
        seeds = self.interpolate
        if seeds and self.files:
            raise UserError("--files and --interpolate: expected one of them, got both")
        if len(seeds) == 1 or len(seeds) > 100 or any(not 0 <= seed <= MAX_SEED for seed in seeds):
            given = " ".join(map(str, seeds))
            raise UserError(f"--interpolate: expected two to a hundred seeds of 0 to {MAX_SEED:,}, got {given}")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(cli.EvaluateOptions):
    """Compare generated with real images: Frechet distance, Inception score, classes, and nearest neighbours."""

    samples: OrNone[Annotated[int, Interval(ge=2, le=1_000_000)]] = None
    """Images to generate and to compare with as many real ones. [default: as many as are held out, at most 10,000]"""
    max_skipped: OrNone[Fraction] = None
    """Largest fraction of --test-data that may be unusable. [default: as in training]"""


@dataclass(frozen=True, kw_only=True)
class ExportOptions(OutputOptions):
    """Write the generator, from latents to images, in a form that runs without this code."""

    format: Literal["saved_model", "keras", "tflite", "onnx"] = "saved_model"
    """saved_model: a folder for TensorFlow and TensorFlow Serving. keras: a file of Keras' own layers. tflite: for
    LiteRT, on phones. onnx: for ONNX Runtime and others (needs tf2onnx)."""
    out: OrNone[Path] = None
    """Where to write. [default: RUN/saved_model, or RUN/model.keras and so on]"""
