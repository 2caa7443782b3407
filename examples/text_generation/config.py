"""The settings with their reasons, and the presets. Each field is a command-line flag, its docstring the help text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from common.app import cli
from common.app.cli import (
    MAX_SEED,
    MAX_STEPS,
    MAX_WIDTH,
    OutputOptions,
    RunOptions,
    TrainOptions,
    require_between,
    require_fraction,
    require_positive,
)
from common.errors import UserError


@dataclass(frozen=True, kw_only=True)
class Config(TrainOptions):
    """Train a character-level recurrent language model, or resume the run found in --run-dir.

    - A first look, no network: train --preset tiny
    - Shakespeare: train
    - Your own text or a folder of texts: train --data mine.txt --run-dir runs/mine
    """

    EXAMPLE: ClassVar[str] = "text_generation"
    DATA_SETS: ClassVar[tuple[str, ...]] = ("shakespeare", "tiny")

    data: str = "shakespeare"
    """shakespeare, tiny (embedded), tfds:tiny_shakespeare, or the path of a UTF-8 text file or a folder of .txt.
    The first 90 % of the characters train, the last 10 % validate."""
    epochs: int = 3
    """Passes over the training text; the learning rate is planned to fall to its floor over exactly these."""
    batch_size: int = 64
    """Text streams read side by side; each step advances all of them by one window."""
    window: int = 50
    """Characters per step and stream: as far back as gradients flow. The state is carried on and reaches further."""
    embedding_dim: int = 256
    """Width of a character's vector."""
    cell: Literal["gru", "lstm"] = "gru"
    """The kind of recurrent layers."""
    units: int = 768
    """Width of the hidden state: the capacity of the model. More units learn more per character, and take longer."""
    layers: int = 1
    """Recurrent layers, one above the other."""
    dropout: float = 0.05
    """Share of each recurrent layer's outputs set to zero in training; more when the validation loss turns up."""
    optimizer: Literal["muon", "adam"] = "muon"
    """What steps the matrices of the recurrent layers: Muon learns as much in fewer steps. Adam does the rest."""
    learning_rate: float = 6e-3
    """Adam's step size at its peak; 2e-3 was chosen with --optimizer adam."""
    muon_rms_rate: float = 0.18
    """Root mean square of the entries of Muon's step, in units of the learning rate; Adam's is about 0.2. The value is
    for a run of 942 steps, three epochs of Shakespeare; a run of N steps takes sqrt(942 / N) times this."""
    warmup_steps: int = 25
    """Steps over which the learning rate climbs from 0; without them this rate diverges."""
    learning_rate_floor: float = 0.03
    """Share of the peak that is left at the end of the cosine decay."""
    beta_2: float = 0.99
    """Adam's memory of squared gradients; 0.999 reacts too slowly for runs of a few hundred steps."""
    weight_decay: float = 0.1
    """Decoupled weight decay (AdamW): share of the weights, times the learning rate, taken away at each step."""
    clip_norm: float = 1.0
    """Gradients longer than this are shortened to it: recurrent gradients explode now and then."""
    prompt: str | None = None
    """Continued after every epoch, for samples/ and the GIF.
    [default: ROMEO: for Shakespeare, else a line of your text]"""
    sample_length: int = 400
    """Characters of that continuation."""

    def __post_init__(self):
        """Check the ranges.

        Raises:
            UserError: a value out of its range.
        """
        super().__post_init__()
        require_between(1, MAX_WIDTH, self, "window", "embedding_dim", "units", "sample_length")
        require_between(1, 64, self, "layers")
        require_between(0, MAX_STEPS, self, "warmup_steps", "weight_decay", "learning_rate_floor")
        require_fraction(self, "dropout", "beta_2")
        require_positive(self, "learning_rate", "muon_rms_rate", "clip_norm")
        if self.prompt == "":
            raise UserError("--prompt: expected at least one character, got none")

    def architecture(self) -> dict[str, Any]:
        """Return the settings that `CharRNN` takes."""
        names = ("embedding_dim", "units", "layers", "cell", "dropout")
        return {name: getattr(self, name) for name in names}


PRESETS = {
    "quick": Config(),
    "tiny": Config(
        preset="tiny", data="tiny", epochs=20, batch_size=8, window=40, embedding_dim=64, units=192,
        dropout=0.5, learning_rate=5e-3, muon_rms_rate=0.57, warmup_steps=20, sample_length=200,
    ),
    "full": Config(
        preset="full", epochs=12, units=1024, dropout=0.4,
    ),
}  # fmt: skip


MAX_LENGTH = 1_000_000
"""Characters that a prompt, and a continuation, may have."""


@dataclass(frozen=True, kw_only=True)
class GenerateOptions(RunOptions):
    """Continue a prompt with the trained model, character by character, on stdout.

    - For instance: generate --run runs/text_generation/quick --prompt "JULIET:" --length 500
    """

    prompt: str | None = None
    """What to continue. [default: the prompt of the training samples]"""
    prompt_file: Path | None = None
    """UTF-8 file to continue, in place of --prompt."""
    length: int = 1000
    """Characters to make."""
    temperature: float = 0.8
    """Below 1 bolder and more repetitive, above 1 wilder; 0 always takes the likeliest character."""
    top_k: int = 0
    """Choose among the K likeliest characters only; 0: all."""
    top_p: float = 1.0
    """Choose among the likeliest characters that together have this probability; 1: all."""
    seed: int = 1
    """The same seed gives the same text."""
    samples: int = 1
    """Continuations to make, side by side."""

    def __post_init__(self):
        """Check the ranges.

        Raises:
            UserError: a value out of its range.
        """
        require_between(1, MAX_LENGTH, self, "length")
        require_between(1, 10_000, self, "samples")
        require_between(0, MAX_SEED, self, "seed")
        require_between(0, MAX_WIDTH, self, "top_k")
        require_between(0, 1000, self, "temperature")
        if self.length * self.samples > 10 * MAX_LENGTH:
            raise UserError(f"--length and --samples: expected at most {10 * MAX_LENGTH:,} characters in all")
        if not 0 < self.top_p <= 1:
            raise UserError(f"--top-p: expected a probability above 0 and up to 1, got {self.top_p}")
        if self.prompt is not None and self.prompt_file is not None:
            raise UserError("--prompt and --prompt-file: expected one of them, got both")
        if self.prompt == "":
            raise UserError("--prompt: expected at least one character, got none")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(cli.EvaluateOptions):
    """Measure the best checkpoint on the whole validation text."""


@dataclass(frozen=True, kw_only=True)
class ExportOptions(OutputOptions):
    """Write a SavedModel, text in and text out, that runs without this code.

    The default folder is RUN/saved_model.
    """
