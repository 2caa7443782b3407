"""The runs that are served: found in a folder, chosen from a list by the client, loaded once and only when needed."""

import contextlib
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from common.app.report import flatten, summary_line
from common.errors import UserError
from common.io.terminal import one_line, warn
from common.training.run_directory import RunDirectory
from examples.serve.limits import Refused

EXAMPLES = {
    "text_generation": "Text",
    "dcgan": "Images",
    "nmt_attention": "Translation",
    "image_captioning": "Captions",
}
"""The title of each example on the page."""
_HEADLINES = {  # the metric of `evaluate` that says most, the first that a run has
    "text_generation": ("nats_per_char",),
    "dcgan": ("frechet_distance",),
    "nmt_attention": ("beam bleu",),
    "image_captioning": ("beam cider", "exact_match"),
}
_CLASSES = {  # in demo.py, each with `load`
    "text_generation": "TextGenerator",
    "dcgan": "ImageGenerator",
    "nmt_attention": "SentenceTranslator",
    "image_captioning": "PhotoCaptioner",
}
_MAX_LOADED = 8
_SECONDS_BETWEEN_SCANS = 1.0


@dataclass(frozen=True)
class ServedRun:
    """A finished run."""

    id: str
    """the start of the run's identity, the same wherever the run is"""
    name: str
    """the folder below the served one"""
    example: str
    summary: str
    """what it was trained on, for how long, and its headline metric"""
    created: str
    directory: RunDirectory
    changed: int
    """when the report was written, in nanoseconds: a run that was trained on has other weights"""

    @property
    def key(self) -> tuple[str, int]:
        """The key of its model."""
        return self.id, self.changed


def runs_folder(folder: Path, demo: Path = Path("demo")) -> Path:
    """Return `folder` if it has a run, else the folder of the demo if that has one, else `folder`."""
    return next((each for each in (folder, demo) if _run_paths(each)), folder)


class RunRegistry:
    """The finished runs in a folder, one or two levels below."""

    def __init__(self, folder: Path, clock: Callable[[], float] = time.monotonic):
        """Set the folder; it is read at the first call of `runs`, and then at most once a second."""
        self.folder, self.clock = folder, clock
        self._next_scan = -float("inf")
        self._state: object = None
        self._runs: list[ServedRun] = []
        self._models: OrderedDict[tuple[str, int], Any] = OrderedDict()
        self._lock = threading.Lock()  # Keras' precision policy is global, so models are built one at a time

    def runs(self, example: str | None = None) -> list[ServedRun]:
        """Return the finished runs, of one example or of all, the newest first; unusable ones are left out."""
        if self.clock() >= self._next_scan:
            self.scan()
            self._next_scan = self.clock() + _SECONDS_BETWEEN_SCANS
        return [run for run in self._runs if example in (None, run.example)]

    def scan(self) -> None:
        """Read the folder now."""
        state = [(path, *_times(path)) for path in _run_paths(self.folder)]
        if state != self._state:
            by_age = sorted(state, key=lambda each: each[1])  # of a run and its copy, the one trained last is served
            found = {run.id: run for path, changed, *_ in by_age if (run := self._describe(path, changed))}
            self._runs = sorted(found.values(), key=lambda run: (run.created, run.name), reverse=True)
            self._state = state

    def choose(self, example: str, id_: str | None = None) -> ServedRun:
        """Return the run with this id, by default the newest of the example.

        Raises:
            Refused: there is none.
        """
        runs = self.runs(example)
        if not runs:
            raise Refused(f"There is no finished run of {example} yet; train one, for instance on the page.", 404)
        for run in runs:
            if id_ in (None, run.id):
                return run
        raise Refused(f"There is no run of {example} with this id; /v1/runs lists them.", 404)

    def model(self, run: ServedRun) -> Any:
        """Return the model of a run, loaded at the first call; the one used longest ago makes room for it.

        Raises:
            Refused: the run is damaged.
        """
        with self._lock:
            if run.key not in self._models:
                try:
                    self._models[run.key] = _load(run)
                except UserError as error:
                    warn(f"note: {error}")
                    raise Refused(f"The run {run.name} cannot be loaded; the server's log says why.", 503) from error
                if len(self._models) > _MAX_LOADED:
                    self._models.popitem(last=False)
            self._models.move_to_end(run.key)
            return self._models[run.key]

    def loaded(self, run: ServedRun) -> Any | None:
        """Return the model of a run if it is loaded, without waiting for one that is being loaded."""
        with contextlib.suppress(KeyError):
            self._models.move_to_end(run.key)
            return self._models[run.key]
        return None

    def _describe(self, report: Path, changed: int) -> ServedRun | None:
        directory = RunDirectory(report.parent)
        try:
            config = directory.read_config()
            if config.example not in EXAMPLES:
                return None
            RunDirectory.open(directory.path, config.example)
            name = one_line(directory.path.relative_to(self.folder).as_posix())
            summary = f"{summary_line(directory)} {_headline(directory, config.example)}".strip()
            id_ = directory.identity[:12]
            return ServedRun(id_, name, config.example, one_line(summary), config.created, directory, changed)
        except UserError as error:
            warn(f"note: not served: {error}")
            return None


def _run_paths(folder: Path) -> list[Path]:
    """Return the reports of finished runs: `train` writes it last."""
    found = [*folder.glob("*/report.html"), *folder.glob("*/*/report.html")]
    return sorted(path for path in found if (path.parent / "config.json").is_file())


def _times(report: Path) -> list[int]:
    """Return when each file of which a run is described was written, in nanoseconds, the report first."""
    names = (report.name, "config.json", "metrics.csv", "evaluation.json")
    files = [report.with_name(name) for name in names]
    return [file.stat().st_mtime_ns if file.is_file() else 0 for file in files]


def _headline(directory: RunDirectory, example: str) -> str:
    evaluation = directory.read_evaluation()
    metrics = flatten(evaluation.metrics) if evaluation else {}
    for name in _HEADLINES[example]:
        if isinstance(metrics.get(name), int | float):
            return f"Measured on the {evaluation.split} data: {name.replace('_', ' ')} {metrics[name]:.3f}."
    rows = directory.read_metrics()
    return f"Validation loss {min(row['val_loss'] for row in rows):.3f}." if rows and "val_loss" in rows[0] else ""


def _load(run: ServedRun) -> Any:
    """Return the model of a run. TensorFlow is imported here, so that the list of runs is there before it."""
    return getattr(import_module(f"examples.{run.example}.demo"), _CLASSES[run.example]).load(run.directory)
