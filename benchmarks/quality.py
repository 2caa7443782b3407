"""Rebuild the tables of what runs reach, in docs/results/, from the runs themselves.

python -m benchmarks.quality RUN ...     add these run directories of `train` and `evaluate`
python -m benchmarks.quality             only write the tables again

What the tables need of each run is kept in results/quality.json. A run with the same settings, seed, precision and
processor as one before takes its place. Runs that differ only in the seed share a row; its
minutes are the median.
"""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path
from typing import Any

import tyro

from benchmarks.measure import RESULTS, cores
from common.errors import UserError
from common.training.run_directory import RunDirectory
from examples.dcgan.config import PRESETS as DCGAN
from examples.image_captioning.config import PRESETS as CAPTIONING
from examples.nmt_attention.config import PRESETS as TRANSLATION
from examples.text_generation.config import PRESETS as TEXT

RECORDS = RESULTS / "quality.json"
PAGES = Path(__file__).parent.parent / "docs" / "results"
BEGIN, END = "<!-- written by python -m benchmarks.quality: -->", "<!-- end -->"
PRESETS = {"text_generation": TEXT, "dcgan": DCGAN, "nmt_attention": TRANSLATION, "image_captioning": CAPTIONING}
COLUMNS: dict[str, dict[str, tuple[str, int]]] = {  # heading: path in the metrics of `evaluate`, decimals
    "text_generation": {
        "nats per character": ("nats_per_char", 3),
        "bits": ("bits_per_char", 3),
        "in windows of 256": ("windows_256_nats_per_char", 3),
    },
    "dcgan": {
        "Frechet distance": ("frechet_distance", 1),
        "floor": ("frechet_floor", 2),
        "Inception score": ("inception_score", 1),
        "of real images": ("inception_score_of_real", 1),
    },
    "nmt_attention": {
        "greedy BLEU": ("greedy.bleu", 1),
        "chrF": ("greedy.chrf", 1),
        "beam BLEU": ("beam.bleu", 1),
        "beam chrF": ("beam.chrf", 1),
        "over ten words": ("beam.bleu_over_10_words", 1),
    },
    "image_captioning": {
        "greedy BLEU-4": ("greedy.bleu_4", 3),
        "CIDEr": ("greedy.cider", 3),
        "beam BLEU-4": ("beam.bleu_4", 3),
        "beam CIDEr": ("beam.cider", 3),
    },
}
NOT_NAMED = {"preset", "seed", "precision", "data_dir", "encoder_weights", "features_dir", "prompt"}
"""Settings that are no part of a row's command: they stand elsewhere in it, are paths, or are filled in."""
FILLED_IN = ("tokens", "words,words"), ("r1_gamma", 28 * 28 / 4096)
"""What training fills in: nmt_attention for languages with spaces, dcgan for images of 28 x 28."""


@dataclass(frozen=True)
class Record:
    """What a run reached, and how."""

    example: str
    flags: str
    """of `train`, without the seed"""
    seed: int
    precision: str
    steps: int
    minutes: float
    """of training, validation and samples included, start and figures not"""
    metrics: dict[str, Any]
    split: str
    machine: str
    date: str

    @property
    def row(self) -> tuple:
        """What runs of one row have in common."""
        return self.example, self.flags, self.precision, self.steps, self.machine

    def metric(self, path: str) -> float:
        """Return the metric at a path such as "beam.bleu"."""
        return reduce(lambda metrics, name: metrics[name], path.split("."), self.metrics)


def read_run(path: Path) -> Record:
    """Return the record of a run directory.

    Raises:
        UserError: `evaluate` has not measured it.
    """
    run = RunDirectory(path)
    config, rows, evaluation = run.read_config(), run.read_metrics(), run.read_evaluation()
    if not rows or evaluation is None:
        raise UserError(f"{path}: not measured yet: train it, then `python -m examples.NAME evaluate --run {path}`")
    settings, hardware = config.settings, config.hardware
    return Record(
        config.example,
        flags_of(config.example, settings),
        settings["seed"],
        settings["precision"],
        int(rows[-1]["step"]),
        round(rows[-1]["seconds"] / 60, 1),
        evaluation.metrics,
        evaluation.split,
        f"{cores(hardware)} of {hardware['processor']} ({hardware.get('features', '')}), "
        f"TensorFlow {config.versions['tensorflow']}",
        config.created[:10],
    )


def flags_of(example: str, settings: Mapping[str, Any]) -> str:
    """Return the fewest flags of `train` that give these settings, apart from seed, precision and paths."""
    named = {name: value for name, value in sorted(settings.items()) if name not in NOT_NAMED and value is not None}
    named = dict(item for item in named.items() if item not in FILLED_IN)
    commands = []
    for name, preset in PRESETS[example].items():
        changed = {flag: value for flag, value in named.items() if value != getattr(preset, flag)}
        commands.append([f"--preset {name}", *map(as_flag, changed, changed.values())])
    return " ".join(min(commands, key=len))


def as_flag(name: str, value: Any) -> str:
    """Return a setting as `train` reads it."""
    flag = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{flag}" if value else f"--no-{flag}"
    return f"--{flag} {value}"


def table(example: str, records: Iterable[Record]) -> str:
    """Return the table of an example: a row for each command, precision and machine, with the mean of its seeds."""
    columns = COLUMNS[example]
    lines = [["`train`", "seeds", "steps", "minutes", *columns, "measured"]]
    lines.append(["---"] * len(lines[0]))
    groups: dict[tuple, list[Record]] = {}
    for record in sorted((record for record in records if record.example == example), key=lambda r: (*r.row, r.seed)):
        groups.setdefault(record.row, []).append(record)
    if not groups:
        return "No run is recorded yet; the figures above are older."
    for runs in groups.values():
        first = runs[0]
        lines.append([
            f"`{first.flags} --precision {first.precision}`",
            ", ".join(str(run.seed) for run in runs),
            f"{first.steps:,}",
            f"{statistics.median(run.minutes for run in runs):.1f}",
            *(mean_and_values([run.metric(path) for run in runs], digits) for path, digits in columns.values()),
            f"{max(run.date for run in runs)}, {first.machine}",
        ])  # fmt: skip
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def mean_and_values(values: Sequence[float], digits: int) -> str:
    """Return one value, or of several the mean with all of them in brackets."""
    if len(values) == 1:
        return f"{values[0]:.{digits}f}"
    return f"**{statistics.mean(values):.{digits}f}** ({', '.join(f'{value:.{digits}f}' for value in values)})"


def write_table(page: Path, text: str) -> None:
    """Replace what stands between the two marks of a page.

    Raises:
        UserError: the page lacks them.
    """
    before, begin, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"{page}: expected {BEGIN} and {END}, between which the table stands")
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{after}", encoding="utf-8")


def read_records() -> list[Record]:
    """Return what was recorded before."""
    return [Record(**record) for record in json.loads(RECORDS.read_text(encoding="utf-8"))] if RECORDS.exists() else []


def main(runs: tyro.conf.Positional[tuple[Path, ...]] = ()) -> None:
    """Add runs to the records, and write the tables.

    Args:
        runs: run directories, each with its evaluation.
    """
    records = {(record.row, record.seed): record for record in read_records()}
    records |= {(record.row, record.seed): record for record in map(read_run, runs)}
    ordered = sorted(records.values(), key=lambda record: (*record.row, record.seed))
    RECORDS.write_text(json.dumps(list(map(asdict, ordered)), indent=1) + "\n", encoding="utf-8")
    for example in PRESETS:
        write_table(PAGES / f"{example}.md", table(example, ordered))
    print(f"{len(ordered)} runs recorded, {len(runs)} of them now")


if __name__ == "__main__":
    try:
        tyro.cli(main)
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
