"""One self-contained page about a run, or about several: pictures inlined, no script, no network needed to view it."""

import base64
import io
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from PIL import Image

from common.errors import UserError
from common.io.files import read_plain, write_atomically
from common.training.run_directory import Run, RunConfig

# Captions, prompts and generated text are data, never markup: everything is escaped.
_TEMPLATES = Environment(
    loader=PackageLoader("common.app"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
)
_MIME = {".png": "image/png", ".gif": "image/gif", ".jpg": "image/jpeg"}


_GENERATOR = "eager-examples"
_MAX_PICTURE_BYTES = 1 << 26
_MAX_TEXT_BYTES = 1 << 24


@dataclass(frozen=True)
class Picture:
    """A picture to inline, with the text for those who cannot see it."""

    path: Path
    alt: str

    @cached_property
    def _content(self) -> bytes:
        return read_plain(self.path, _MAX_PICTURE_BYTES)

    @property
    def source(self) -> str:
        """The picture itself, as a data URI."""
        return f"data:{_MIME[self.path.suffix]};base64,{base64.b64encode(self._content).decode()}"

    @property
    def size(self) -> tuple[int, int]:
        """Width and height in pixels, so that the page does not jump while it loads.

        Raises:
            UserError: it is no picture.
        """
        try:
            with Image.open(io.BytesIO(self._content), formats=("PNG", "GIF", "JPEG")) as image:
                return image.size
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise UserError(f"{self.path}: no picture; delete it, and `train` draws it again") from error


def read_listing(path: Path) -> str:
    """Return the text in a file of a run, for a report.

    Raises:
        UserError: it cannot be read as UTF-8 text.
    """
    try:
        return read_plain(path, _MAX_TEXT_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: damaged ({error}); restore it from a copy of the run") from error


@dataclass(frozen=True)
class Section:
    """A heading with what stands under it, in this order; what is empty is left out."""

    heading: str
    text: str = ""
    table: Sequence[tuple[str, str]] = ()
    pictures: Sequence[Picture] = ()
    listings: Sequence[tuple[str, str]] = field(default=())
    """Titled passages set in a monospaced font; the last is shown, those before it are folded."""
    links: Sequence[tuple[str, str]] = ()
    """(what it says, where it leads)"""

    @property
    def has_content(self) -> bool:
        """Whether there is more than heading and text."""
        return any((self.table, self.pictures, self.listings, self.links))


def write_page(path: Path, title: str, lead: str, sections: Sequence[Section]) -> Path:
    """Write a page of `sections` to `path` and return it."""
    page = _TEMPLATES.get_template("page.html.jinja").render(
        title=title, lead=lead, sections=sections, generator=_GENERATOR
    )
    write_atomically(path, page)
    return path


def is_free_for_page(path: Path) -> bool:
    """Tell whether there is nothing at `path`, or a page that `write_page` wrote."""
    return (
        not os.path.lexists(path)
        or f'name="generator" content="{_GENERATOR}"'.encode() in read_plain(path, _MAX_PICTURE_BYTES)[:2000]
    )


def write_report(run: Run, model: str, lead: str, sections: Sequence[Section | None]) -> Path:
    """Write `report.html` of a run and return its path.

    Args:
        run: a run that was started.
        model: what was trained, for the title.
        lead: what that is, in a sentence.
        sections: what the run holds by now; None and sections without content are left out. What was trained on what,
            for how long, and the command that does it again come by themselves.
    """
    title = f"{model}: {_data_name(run)}"
    shown = [section for section in sections if section and section.has_content]
    return write_page(run.report, title, f"{lead} {in_short(run)}", [*shown, section_on_run(run)])


def in_short(run: Run) -> str:
    """Return a sentence on what was trained, on what and for how long."""
    return f"Trained on {_data_name(run)}: {_how_long(run)}; started {run.read_config().created}."


def _data_name(run: Run) -> str:
    return Path(str(run.read_config().settings.get("data"))).name


def _how_long(run: Run) -> str:
    rows = run.read_metrics()
    if not rows:
        return "no epoch finished yet"
    return f"{int(rows[-1]['epoch'])} epochs, {int(rows[-1]['step']):,} steps, {duration(rows[-1]['seconds'])}"


def duration(seconds: float) -> str:
    """Return a time as people say it: 59 s, 9 min 27 s, 2 h 5 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    return f"{whole // 60} min {whole % 60} s" if whole < 3600 else f"{whole // 3600} h {whole % 3600 // 60} min"


def section_on_run(run: Run) -> Section:
    """Say what was trained, on what, for how long, and how to do it again."""
    config = run.read_config()
    table = [
        ("data", f"{config.settings.get('data')} ({_inline(config.data)})"),
        ("trained", _how_long(run)),
        ("started", config.created),
        ("versions", ", ".join(f"{name} {number}" for name, number in config.versions.items())),
        ("settings", _inline(config.settings)),
    ]
    return Section("The run", table=table, listings=[("The command that does it again", command_of(config))])


def section_on_evaluation(run: Run) -> Section | None:
    """Give what `evaluate` measured and by which rule; None if nothing was measured yet."""
    evaluation = run.read_evaluation()
    if evaluation is None:
        return None
    table = [(name.replace("_", " "), readable(value)) for name, value in flat(evaluation.metrics).items()]
    return Section(f"Measured on the {evaluation.split} data", f"Rule: {evaluation.rule}.", table)


def flat(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested metrics in one level: {"beam": {"bleu": 40.0}} as {"beam bleu": 40.0}."""
    level: dict[str, Any] = {}
    for name, value in metrics.items():
        inner = flat(value) if isinstance(value, Mapping) else {"": value}
        level |= {f"{name} {rest}".strip(): number for rest, number in inner.items()}
    return level


def readable(value: Any) -> str:
    """Return a metric as text: four decimals of a fraction, whole numbers as they are."""
    return f"{value:.4f}" if isinstance(value, float) else str(value)


def command_of(config: RunConfig) -> str:
    """Return the shell command that trains a run of this config again."""
    flags = [word for name, value in config.settings.items() for word in _flag(name.replace("_", "-"), value)]
    return shlex.join(["python", "-m", f"examples.{config.example}", "train", *flags])


def _flag(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return [f"--{name}" if value else f"--no-{name}"]
    return [] if value is None else [f"--{name}", str(value)]


def _inline(values: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{name} {value if isinstance(value, str) else json.dumps(value)}" for name, value in values.items()
    )
