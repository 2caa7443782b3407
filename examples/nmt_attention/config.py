"""Every setting of the example, its reason, and the three presets."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import tyro

from common.app import cli
from common.app.cli import (
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
    """Train a translator with attention, or resume the run found in --run-dir.

    - A first look, no network: train --preset tiny
    - Spanish to English: train
    - English to Spanish: train --reverse --run-dir runs/eng-spa
    - Your own pairs, with a tab between: train --data pairs.tsv --columns 1,2 --run-dir runs/mine
    """

    EXAMPLE: ClassVar[str] = "nmt_attention"
    DATA_SETS: ClassVar[tuple[str, ...]] = ("spa-eng", "tiny")

    data: str = "spa-eng"
    """spa-eng, tiny (made by a grammar), tfds:NAME of a translation set, or the path of a UTF-8 file with a tab between
    the columns."""
    columns: str = "2,1"
    """Which column, from 1, is the source and which the target; others are ignored. The files of manythings.org have
    English first, so 2,1 translates to English."""
    reverse: bool = False
    """Swap source and target."""
    held_out: float = 0.02
    """Share of the sentences that validates; as much again is the test."""
    max_tokens: int = 60
    """Longer training pairs are skipped and counted; longer inputs to `translate` are truncated."""
    min_count: int = 3
    """Words that occur less often in training are <unknown>; attention copies them from the source."""
    epochs: int = 3
    """Passes over the training pairs; the learning rate is planned to fall to zero over exactly these."""
    batch_size: int = 128
    """Pairs per step."""
    embedding_dim: int = 256
    """Width of the embeddings, source and target."""
    encoder_units: int = 256
    """Width of the encoder's state in each direction."""
    decoder_units: int = 512
    """Width of the decoder's state."""
    attention_units: int = 256
    """Width in which attention compares the query and the keys."""
    dropout: float = 0.0
    """Share of the embeddings and of the read-out set to zero in training. In three epochs it costs more than it saves;
    many more need it."""
    label_smoothing: float = 0.1
    """Probability mass of the target that is spread over all words (Szegedy et al. 2016)."""
    optimizer: Literal["muon", "adam"] = "muon"
    """What steps the matrices, those of the embeddings excepted: Muon learns as much in fewer steps. Adam does the
    rest. Where it does all, take a --learning-rate of 3e-3."""
    learning_rate: float = 2e-2
    """Adam's step size at its peak. Word vectors want large steps, the matrices small ones."""
    muon_rms_rate: float = 0.03
    """Muon's step: the root mean square of its entries, in units of the learning rate. Half and twice as much of it was
    worse in 2,400 steps; fewer steps want larger ones."""
    warmup_steps: int = 200
    """Steps over which the learning rate climbs from 0."""
    beta_2: float = 0.98
    """Adam's memory of squared gradients; 0.999 reacts too slowly for runs of a few thousand steps."""
    clip_norm: float = 1.0
    """Gradients longer than this are shortened to it: recurrent gradients explode now and then."""

    def __post_init__(self):
        """Check the ranges.

        Raises:
            UserError: a value out of its range.
        """
        super().__post_init__()
        widths = ("embedding_dim", "encoder_units", "decoder_units", "attention_units")
        require_between(1, MAX_WIDTH, self, *widths)
        require_between(1, 10_000, self, "max_tokens")
        require_between(1, MAX_STEPS, self, "min_count")
        require_between(0, MAX_STEPS, self, "warmup_steps")
        if not re.fullmatch(r"[1-9]\d{0,3},[1-9]\d{0,3}", self.columns) or len(set(self.columns.split(","))) != 2:
            raise UserError(f"--columns: expected two different columns such as 2,1, got {self.columns}")
        if not 0 < self.held_out < 0.5:
            raise UserError(f"--held-out: expected a share above 0 and below 0.5, got {self.held_out}")
        require_fraction(self, "dropout", "label_smoothing", "beta_2")
        require_positive(self, "learning_rate", "muon_rms_rate", "clip_norm")

    def architecture(self) -> dict[str, Any]:
        """Return the settings that `Translator` takes."""
        names = ("embedding_dim", "encoder_units", "decoder_units", "attention_units", "dropout", "label_smoothing")
        return {name: getattr(self, name) for name in names}

    def corpus(self) -> dict[str, Any]:
        """Return the settings that `load_corpus` takes."""
        source, target = map(int, self.columns.split(","))
        columns = (target, source) if self.reverse else (source, target)
        names = ("held_out", "max_tokens", "min_count")
        return {"columns": columns} | {name: getattr(self, name) for name in names}


PRESETS = {
    "quick": Config(precision="bfloat16", steps_per_epoch=700),  # of 891: what ten minutes on 2 cores allow
    "tiny": Config(
        preset="tiny", data="tiny", held_out=0.1, min_count=1, epochs=6, batch_size=32, embedding_dim=32,
        encoder_units=32, decoder_units=64, attention_units=32, dropout=0.1, learning_rate=5e-3, muon_rms_rate=0.6,
        warmup_steps=50,
    ),
    "full": Config(
        preset="full", epochs=12, embedding_dim=512, encoder_units=512, decoder_units=1024, attention_units=512,
        dropout=0.4, learning_rate=1e-2, min_count=2,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class TranslateOptions(RunOptions):
    """Translate sentences: arguments, the lines of a file, or the lines of standard input, to lines on stdout.

    - One sentence: translate --run runs/nmt_attention/quick "¿todavía están en casa?"
    - Many: translate --run runs/nmt_attention/quick --beam 5 < spanish.txt > english.txt
    - With pictures: translate --run runs/nmt_attention/quick --attention maps "hace mucho frío aquí."
    """

    sentences: tyro.conf.Positional[tuple[str, ...]] = ()
    """What to translate. [default: lines from --file, else from standard input]"""
    file: Path | None = None
    """UTF-8 file, a sentence a line."""
    beam: int = 1
    """Candidates side by side; 1 takes the likeliest word each time, 5 is worth two points of BLEU and takes longer."""
    length_penalty: float = 1.0
    """0 compares candidates by their probability, which favours short ones; 1 by its mean over the words."""
    n_best: int = 1
    """Write so many translations for each sentence, with their scores before a tab; at most --beam."""
    batch_size: int = 128
    """Sentences translated together; 1 answers each line of standard input at once."""
    attention: Path | None = None
    """Folder for a heat map of each translation: 0001.png and so on."""
    overwrite: bool = False
    """Replace maps of other sentences, and other files, of these names in that folder."""
    json: bool = False
    """Write a JSON object a sentence: translations with scores, tokens and attention."""

    def __post_init__(self):
        """Check the ranges.

        Raises:
            UserError: a value out of its range.
        """
        require_between(1, 1000, self, "beam", "n_best")
        require_between(1, MAX_WIDTH, self, "batch_size")
        require_between(0, 100, self, "length_penalty")
        if self.n_best > self.beam:
            raise UserError(f"--n-best: expected at most --beam, which is {self.beam}, got {self.n_best}")
        if self.sentences and self.file:
            raise UserError("--file and sentences as arguments: expected one of them, got both")


@dataclass(frozen=True, kw_only=True)
class EvaluateOptions(cli.EvaluateOptions):
    """Translate held-out sentences and measure BLEU and chrF on raw text, greedy and with a beam."""

    split: Literal["test", "validation"] = "test"
    """Which held-out sentences; choose settings on validation, report test."""
    beam: int = 5
    """Candidates of the beam search."""
    length_penalty: float = 1.0
    """See translate."""

    def __post_init__(self):
        """Check the ranges.

        Raises:
            UserError: a value out of its range.
        """
        require_between(1, 1000, self, "beam")
        require_between(0, 100, self, "length_penalty")


@dataclass(frozen=True, kw_only=True)
class ExportOptions(OutputOptions):
    """Write a SavedModel, sentences in and sentences out, that runs without this code.

    The default folder is RUN/saved_model.
    """
