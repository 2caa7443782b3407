"""Self-contained HTML reports of one or several runs: pictures are inlined; no script, no network."""

import base64
import io
import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from common.errors import UserError
from common.io.files import read_plain, write_atomically
from common.training.run_directory import RunConfig, RunDirectory

# Everything is escaped: captions, prompts and generated text are data, not markup.
_TEMPLATES = Environment(
    loader=PackageLoader("common.app"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_MIME = {".png": "image/png", ".gif": "image/gif", ".jpg": "image/jpeg"}

_GENERATOR = "eager-examples"
_MAX_PICTURE_BYTES = 1 << 26


@dataclass(frozen=True)
class Picture:
    """A picture to inline, with its alternative text."""

    path: Path
    alt: str

    @cached_property
    def _content(self) -> bytes:
        return read_plain(self.path, _MAX_PICTURE_BYTES)

    @property
    def source(self) -> str:
        """The picture as a data URI."""
        return f"data:{_MIME[self.path.suffix]};base64,{base64.b64encode(self._content).decode()}"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels; with them, the page does not jump while it loads.

        Raises:
            UserError: the file is not a picture.
        """
        try:
            with Image.open(io.BytesIO(self._content), formats=("PNG", "GIF", "JPEG")) as image:
                return image.size
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UserError(f"{self.path}: not a picture; delete it, and `train` draws it again") from error


def figures(run: RunDirectory, alts: Mapping[str, str]) -> list[Picture]:
    """Return the figures of a run, in the order of `alts`: the alternative text by file name or pattern.

    Those that are not drawn yet are left out.
    """
    return [Picture(path, alt) for pattern, alt in alts.items() for path in sorted(run.figures.glob(pattern))]


@dataclass(frozen=True)
class Section:
    """A section of a report; its parts are shown in this order, empty ones are left out."""

    heading: str
    text: str = ""
    table: Sequence[tuple[str, str]] = ()
    pictures: Sequence[Picture] = ()
    listings: Sequence[tuple[str, str]] = ()
    """(title, text) of passages in a monospaced font; the last is shown, earlier ones are folded."""
    links: Sequence[tuple[str, str]] = ()
    """(text, target)"""


def write_page(path: Path, title: str, summary: str, sections: Sequence[Section]) -> Path:
    """Write a page of `sections` to `path` and return the path."""
    page = _TEMPLATES.get_template("page.html.jinja").render(
        title=title, summary=summary, sections=sections, generator=_GENERATOR
    )
    write_atomically(path, page)
    return path


def is_free_for_page(path: Path) -> bool:
    """Return whether `path` does not exist, or is a page of `write_page`."""
    return (
        not os.path.lexists(path)
        or f'name="generator" content="{_GENERATOR}"'.encode() in read_plain(path, _MAX_PICTURE_BYTES)[:2000]
    )


def write_report(run: RunDirectory, model: str, summary: str, sections: Sequence[Section | None]) -> Path:
    """Write `report.html` of a run and return its path; `model` is a name for the title, `summary` a sentence.

    None and sections that have only a heading and a text are left out. `section_on_run` is added.
    """
    title = f"{model}: {_data_name(run)}"
    visible = [each for each in sections if each and any((each.table, each.pictures, each.listings, each.links))]
    return write_page(run.report, title, f"{summary} {summary_line(run)}", [*visible, section_on_run(run)])


def summary_line(run: RunDirectory) -> str:
    """Return a sentence about the data, the length and the start of training."""
    return (
        f"Trained on {_data_name(run)}: {_training_length(run)}{_best_epoch(run)}; started {run.read_config().created}."
    )


def _best_epoch(run: RunDirectory) -> str:
    """Return which epoch's weights are used, if there is a validation loss and it is not the last."""
    losses = [row["val_loss"] for row in run.read_metrics() if "val_loss" in row]
    best = min(range(len(losses)), key=losses.__getitem__, default=-1) + 1
    return f"; the weights used are those after epoch {best}, the best" if best < len(losses) else ""


def _data_name(run: RunDirectory) -> str:
    data = str(run.read_config().settings.get("data"))
    parts = [data] if os.path.exists(data) else data.split(",")  # parallel files have a comma between
    return ",".join(os.path.basename(os.path.abspath(part)) for part in parts)  # the path "." has no name itself


def _training_length(run: RunDirectory) -> str:
    rows = run.read_metrics()
    if not rows:
        return "no epoch finished yet"
    epochs = int(rows[-1]["epoch"])
    length = f"{epochs} epoch{'s' if epochs > 1 else ''}, {int(rows[-1]['step']):,} steps"
    return f"{length}, {duration(rows[-1]['seconds'])}"


def duration(seconds: float) -> str:
    """Return a duration as text: 59 s, 9 min 27 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def section_on_run(run: RunDirectory) -> Section:
    """Return the section about the data, the training, the settings and the command that repeats the run."""
    config = run.read_config()
    table = [
        ("data", f"{config.settings.get('data')} ({_inline(config.data)})"),
        ("trained", _training_length(run)),
        ("started", config.created),
        ("versions", ", ".join(f"{name} {number}" for name, number in config.versions.items())),
        ("machine", ", ".join(f"{name} {value}" for name, value in config.hardware.items()) or "not recorded"),
        ("settings", _inline(config.settings)),
    ]
    return Section("The run", table=table, listings=[("The command that repeats it", training_command(config))])


def section_on_evaluation(run: RunDirectory) -> Section | None:
    """Return the section about the metrics of `evaluate` and their rule; None if there are none yet."""
    evaluation = run.read_evaluation()
    if evaluation is None:
        return None
    table = [
        (name.replace("_", " "), ", ".join(filter(None, (format_value(value), direction(name)))))
        for name, value in flatten(evaluation.metrics).items()
    ]
    return Section(f"Measured on the {evaluation.split} data", f"Rule: {evaluation.rule}.", table)


def flatten(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested metrics as one dictionary: {"beam": {"bleu": 40.0}} as {"beam bleu": 40.0}.

    The values of classes, whose names are numbers, are one text: {"frequencies": {"0": 0.5}} is {"frequencies":
    "0: 0.5"}.
    """
    flat: dict[str, Any] = {}
    for name, value in metrics.items():
        if isinstance(value, Mapping) and all(map(str.isdecimal, value)):
            value = ", ".join(f"{number}: {format_value(share)}" for number, share in value.items())
        inner = flatten(value) if isinstance(value, Mapping) else {"": value}
        flat |= {f"{name} {rest}".strip(): metric for rest, metric in inner.items()}
    return flat


_LOWER_IS_BETTER = re.compile(r"(windows_\d+_)?(nats|bits)_per_\w+|perplexity|frechet_distance|ter")
_HIGHER_IS_BETTER = re.compile(
    r"bleu(_\w+)?|chrf|rouge_l|cider|exact_match|pointing(_difficult)?|inception_score|classes_covered|accuracy"
)


def direction(name: str) -> str:
    """Return "lower is better" or "higher is better" of a metric of `flatten`; "" of one that has no direction."""
    metric = name.rpartition(" ")[2]
    if _LOWER_IS_BETTER.fullmatch(metric):
        return "lower is better"
    return "higher is better" if _HIGHER_IS_BETTER.fullmatch(metric) else ""


def format_value(value: Any) -> str:
    """Return a metric as text; floats have four decimals."""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def training_command(config: RunConfig) -> str:
    """Return the shell command that repeats the run of `config`, in another run directory."""
    flags = [word for name, value in config.settings.items() for word in _flag(name.replace("_", "-"), value)]
    return shlex.join(["python", "-m", f"examples.{config.example}", "train", *flags, "--run-dir", "runs/again"])


def _flag(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    if str(value).startswith("-"):  # else it would be taken for a flag
        return [f"--{name}={value}"]
    return [] if value is None else [f"--{name}", str(value)]


def _inline(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value if isinstance(value, str) else json.dumps(value)}" for name, value in values.items()
    )
