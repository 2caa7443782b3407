"""The settings with their reasons, and the presets. Each field is a command-line flag, its docstring the help text."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Interval

from common.app import cli
from common.app.cli import OrNone, OutputOptions, RunOptions, TrainOptions
from common.app.intervals import MAX_WIDTH, Count, CountOrZero, Fraction, NotNegative, Positive, Seed, Width
from common.errors import UserError

MAX_LENGTH = 1_000_000
"""Largest number of characters of a prompt and of a continuation."""


@dataclass(frozen=True, kw_only=True)
class Config(TrainOptions):
    """Train a recurrent language model of characters, or resume the run found in --run-dir.

    - A short run without network: train --preset tiny
    - Shakespeare, five minutes on 2 cores: train; a little better, in 15: train --preset full
    - Your own text or a folder of texts: train --data mine.txt --run-dir runs/mine
    - The same, from the weights of Shakespeare: add --init-from runs/text_generation/quick
    """

    EXAMPLE: ClassVar[str] = "text_generation"
    DATA_SETS: ClassVar[tuple[str, ...]] = ("shakespeare", "tiny")
    INHERITED: ClassVar[tuple[str, ...]] = ("tokens", "embedding_dim", "units", "layers", "cell")

    data: str = "shakespeare"
    """shakespeare, tiny (embedded), tfds:tiny_shakespeare, or the path of a text file or a folder of .txt.
    The first 90 % of the characters are for training, the last 10 % for validation."""
    encoding: OrNone[str] = None
    """Encoding of your files, such as cp1252, gb18030, shift_jis or koi8_r. [default: UTF-8, or UTF-16 and UTF-32 with
    a byte order mark]"""
    tokens: Literal["characters", "words", "subwords"] = "characters"
    """What the model predicts. Words and subwords are learnt on the training text; what they do not cover is written
    in characters. They need a larger text."""
    vocabulary_size: Width = 4000
    """Words or subwords at most."""
    epochs: Count = 3
    """Passes over the training text; the learning rate falls to its floor at the end of the last one."""
    batch_size: Width = 64
    """Contiguous text streams in a batch; each step processes the next window of every stream."""
    window: Width = 50
    """Tokens per step and stream: the window of truncated back-propagation. The state goes on to the next window, the
    gradients do not."""
    embedding_dim: Width = 256
    """Dimension of the embedding of a token."""
    cell: Literal["gru", "lstm"] = "gru"
    """The kind of recurrent layers."""
    units: Width = 768
    """Dimension of the hidden state. More units reach a lower loss in the same steps, but a step takes longer."""
    layers: Annotated[int, Interval(ge=1, le=64)] = 1
    """Recurrent layers, one above the other."""
    dropout: Fraction = 0.05
    """Fraction of the outputs of each recurrent layer set to zero in training; increase it if the model overfits."""
    optimizer: Literal["muon", "adam"] = "muon"
    """Optimizer of the matrices of the recurrent layers; Muon needs fewer steps. All other weights use Adam."""
    learning_rate: Positive = 6e-3
    """Peak of the learning rate, of Adam and of Muon. With --optimizer adam use 2e-3."""
    muon_rms_rate: Positive = 0.18
    """Root mean square of the entries of Muon's step, in units of the learning rate; Adam's is about 0.2. The value is
    for 942 steps, three epochs of Shakespeare; a run of N steps multiplies it by sqrt(942 / N)."""
    warmup_steps: CountOrZero = 25
    """Steps over which the learning rate rises to its maximum; without them the training diverges."""
    learning_rate_floor: NotNegative = 0.03
    """Fraction of the largest learning rate that is left at the end of the cosine decay."""
    beta_2: Fraction = 0.99
    """Adam's decay of the mean squared gradient; 0.999 is too slow for runs of a few hundred steps."""
    weight_decay: NotNegative = 0.1
    """Decoupled weight decay (AdamW): each step subtracts this fraction of the weights, times the learning rate."""
    rate_factor: Annotated[float, Interval(ge=1, le=100)] = 1.0
    """From each layer to the one below it, the learning rate is divided by this. For fine-tuning with --init-from; 2.6
    in the paper (ULMFiT, Howard and Ruder 2018). 1: one rate for all layers."""
    gradual_unfreezing: bool = False
    """Train only the output layer in the first epoch, and one layer more in each of the next (same paper)."""
    clip_norm: Positive = 1.0
    """Largest global norm of the gradients; larger ones are scaled down, because recurrent gradients can explode."""
    prompt: OrNone[str] = None
    """Prompt that is continued after every epoch, for samples/ and the GIF.
    [default: ROMEO: for Shakespeare, MIRA: for tiny, else a line of the validation text]"""
    sample_length: Width = 400
    """Tokens of each continuation."""

    def corpus(self) -> dict[str, Any]:
        """Return the settings that `load_corpus` takes."""
        return {name: getattr(self, name) for name in ("encoding", "tokens", "vocabulary_size")}

    @property
    def loss_unit(self) -> str:
        """The unit of losses: nats per character, word or subword."""
        return f"nats per {self.tokens.removesuffix('s')}"

    def architecture(self) -> dict[str, Any]:
        """Return the arguments of `CharRNN` apart from the size of the vocabulary."""
        names = ("embedding_dim", "units", "layers", "cell", "dropout")
        return {name: getattr(self, name) for name in names}


# The name of a further preset also goes into `TrainOptions.preset`.
PRESETS = {
    "quick": Config(),  # the defaults above
    "tiny": Config(
        preset="tiny", data="tiny", precision="float32", xla=False, epochs=20, batch_size=8, window=40,
        embedding_dim=64, units=192, dropout=0.5, learning_rate=5e-3, muon_rms_rate=0.57, warmup_steps=20,
        sample_length=200,
    ),
    "full": Config(
        preset="full", epochs=5, units=1024, dropout=0.4,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class GenerateOptions(RunOptions):
    """Continue a prompt with the trained model, character by character, on stdout.

    - For instance: generate --run runs/text_generation/quick --prompt "JULIET:" --length 500
    """

    prompt: OrNone[str] = None
    """Text to continue. [default: the prompt of the training samples]"""
    prompt_file: OrNone[Path] = None
    """File with the prompt, in place of --prompt."""
    encoding: OrNone[str] = None
    """Encoding of --prompt-file. [default: UTF-8, or what a byte order mark says]"""
    length: Annotated[int, Interval(ge=1, le=MAX_LENGTH)] = 1000
    """Number of characters, or words or subwords, to generate."""
    temperature: Annotated[float, Interval(ge=0, le=1000)] = 0.8
    """Divides the logits: below 1 the text repeats itself, above 1 it is more random; 0: the likeliest character."""
    top_k: Annotated[int, Interval(ge=0, le=MAX_WIDTH)] = 0
    """Sample from the K likeliest characters only; 0: from all."""
    top_p: Annotated[float, Interval(gt=0, le=1)] = 1.0
    """Sample from the likeliest characters with this total probability; 1: from all."""
    seed: OrNone[Seed] = None
    """The same seed generates the same text. [default: another one each time, which is printed]"""
    samples: Annotated[int, Interval(ge=1, le=10_000)] = 1
    """Number of continuations."""

    def __post_init__(self):
        super().__post_init__()
        if self.length * self.samples > 10 * MAX_LENGTH:
            raise UserError(f"--length and --samples: expected at most {10 * MAX_LENGTH:,} tokens in all")
        if self.prompt is not None and self.prompt_file is not None:
            raise UserError("--prompt and --prompt-file: expected one of them, got both")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(cli.EvaluateOptions):
    """Measure the best weights on the whole validation text."""

    encoding: OrNone[str] = None
    """Encoding of --test-data. [default: as in training]"""


@dataclass(frozen=True, kw_only=True)
class ExportOptions(OutputOptions):
    """Write the model in a form that runs without this code."""

    format: Literal["saved_model", "keras", "tflite", "onnx"] = "saved_model"
    """saved_model: a folder for TensorFlow and TensorFlow Serving, from a prompt to a text. The others are the network
    alone, from ids and state to logits and state; vocabulary.json of the run has the symbols. keras: a file of Keras'
    own layers. tflite, for LiteRT, and onnx (needs tf2onnx): one symbol a call."""
    out: OrNone[Path] = None
    """Where to write. [default: RUN/saved_model, or RUN/model.keras and so on]"""
