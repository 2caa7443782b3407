"""Every setting of the example, its reason, and the three presets."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from common.app import cli
from common.app.cli import (
    MAX_SEED,
    MAX_WIDTH,
    OutputOptions,
    TrainOptions,
    require_between,
    require_positive,
    require_share,
)
from common.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Config(TrainOptions):
    """Train a generator and a discriminator against each other, or resume the run found in --run-dir.

    - A first look, no network: train --preset tiny
    - Handwritten digits: train
    - Your own pictures: train --data my_pictures --image-size 64 --run-dir runs/mine
    """

    EXAMPLE: ClassVar[str] = "dcgan"
    DATA_SETS: ClassVar[tuple[str, ...]] = ("mnist", "tiny")

    data: str = "mnist"
    """mnist, tiny (digits that the code draws), tfds:NAME (for instance tfds:fashion_mnist), or a folder of pictures.
    Pictures are cut to a square in the middle and resized."""
    image_size: int | None = None
    """Side in pixels. [default: that of the data; 64 where its pictures differ in size, as in a folder]"""
    channels: Literal[1, 3] | None = None
    """1: grey; 3: colour. [default: as the data is]"""
    epochs: int = 14
    """Passes over the images."""
    batch_size: int = 64
    """Images per step; small batches mean more steps in the same time, and that is what short runs need."""
    noise_dim: int = 100
    """Length of the noise vector that becomes an image."""
    width: int = 32
    """Channels of the largest hidden feature map; smaller maps have twice as many each."""
    generator_learning_rate: float = 1e-3
    """Adam's step size for the generator."""
    discriminator_learning_rate: float = 3e-4
    """Adam's step size for the discriminator, which learns faster at the same rate; lower it when it wins."""
    beta_1: float = 0.5
    """Adam's memory of gradients. At the usual 0.9 the two networks overshoot each other's moves and swing."""
    real_target: float = 1.0
    """What the discriminator should answer for real images; 0.9 keeps it from being too sure."""
    average_decay: float = 0.999
    """The generator that is kept is an average over about 1 / (1 - this) steps; 0: the latest weights alone."""

    def __post_init__(self):
        """Check the ranges.

        Raises:
            UserError: a value out of its range.
        """
        super().__post_init__()
        require_between(1, MAX_WIDTH, self, "noise_dim")
        require_between(1, 1024, self, "width")
        require_between(8, 512, self, "image_size")
        require_positive(self, "generator_learning_rate", "discriminator_learning_rate")
        require_share(self, "beta_1", "average_decay")
        if not 0.5 < self.real_target <= 1:
            raise UserError(f"--real-target: expected above 0.5 and up to 1, got {self.real_target}")
        if self.patience is not None:
            raise UserError("--patience: a GAN has no validation loss to wait for; use --epochs or --max-minutes")

    def architecture(self) -> dict[str, Any]:
        """Return the settings that `DCGAN` takes, beside the shape of the images."""
        names = ("width", "noise_dim", "average_decay", "real_target")
        return {name: getattr(self, name) for name in names}


PRESETS = {
    "quick": Config(),
    "tiny": Config(preset="tiny", data="tiny", epochs=16, batch_size=32, average_decay=0.99),
    "full": Config(preset="full", epochs=100, width=128),
}


@dataclass(frozen=True, kw_only=True)
class GenerateOptions(OutputOptions):
    """Make images with the trained generator: a sheet of many, single files, or a walk from image to image.

    - A sheet of 64: generate --run runs/dcgan/quick
    - A thousand files: generate --run runs/dcgan/quick --samples 1000 --files
    - A GIF that walks between four images: generate --run runs/dcgan/quick --walk 1 2 3 4
    """

    samples: int | None = None
    """Images to make. [default: 64, in a walk 16 that walk side by side]"""
    seed: int = 1
    """The same seed makes the same images."""
    files: bool = False
    """Write one PNG an image instead of one sheet."""
    walk: tuple[int, ...] = ()
    """Seeds to walk through: writes a GIF that morphs from the image of each seed to that of the next, and back."""
    out: Path | None = None
    """Folder to write. [default: RUN/generated]"""

    def __post_init__(self):
        """Check the ranges.

        Raises:
            UserError: a value out of its range.
        """
        require_between(1, 1_000_000, self, "samples")
        require_between(0, MAX_SEED, self, "seed")
        if not self.files:
            require_between(1, 10_000, self, "samples")
        if len(self.walk) == 1 or len(self.walk) > 100 or any(not 0 <= seed <= MAX_SEED for seed in self.walk):
            given = " ".join(map(str, self.walk))
            raise UserError(f"--walk: expected two to a hundred seeds of 0 to {MAX_SEED:,}, got {given}")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(cli.EvaluateOptions):
    """Measure how close the made images come to real ones: Frechet distance, classifier score, classes, twins."""

    samples: int | None = None
    """Images to make and to compare with as many real ones. [default: as many as are held out, at most 10,000]"""

    def __post_init__(self):
        """Check the ranges.

        Raises:
            UserError: a value out of its range.
        """
        require_between(2, 1_000_000, self, "samples")


@dataclass(frozen=True, kw_only=True)
class ExportOptions(OutputOptions):
    """Write a SavedModel, noise in and images out, that runs without this code.

    The default folder is RUN/saved_model.
    """
