"""The run directory: all files of one training run, in one folder that can be moved, zipped and used elsewhere.

config.json                 settings, seed, versions, data, hardware
vocabulary*.json            if the data is text
checkpoints/                latest and best
metrics.csv, tensorboard/   one row per epoch
samples/                    epoch_0001.txt or .png ...
figures/                    PNG and GIF
evaluation.json             the metrics of `evaluate`
evaluation_test_data.json   the metrics of `evaluate --test-data`
report.html                 all of it on one page
"""

import csv
import hashlib
import io
import json
import math
import os
import platform
import shlex
import time
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any

import platformdirs
from pydantic import ConfigDict, Field, with_config

import common
from common.errors import UserError
from common.io.files import is_temporary, read_plain, require_plain, write_atomically
from common.io.lock import exclusive
from common.io.records import Count, Json, Line, Seconds, read_record
from common.io.terminal import echo, one_line

_MAX_METRICS_BYTES = 1 << 26
_MAX_TEXT_BYTES = 1 << 24
_MAX_COUNT = 10**12
_CLOSED = ConfigDict(extra="forbid", allow_inf_nan=False)


@with_config(_CLOSED)
@dataclass(frozen=True)
class RunConfig:
    """The content of `config.json`: example, settings, data, versions, start time and hardware."""

    example: Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,60}$")]
    settings: Json
    data: Json
    """checksums and sizes, which identify the data"""
    versions: dict[Line, Line]
    created: Line
    hardware: dict[Line, Line] = field(default_factory=dict)
    extensions: list[Line] = field(default_factory=list)
    """when the run got more epochs, and how many"""


@with_config(_CLOSED)
@dataclass(frozen=True)
class Evaluation:
    """The content of `evaluation.json`: the metrics, the data split, the rule of measurement and its duration."""

    split: Annotated[str, Field(pattern=r"^[a-z][a-z-]{0,60}$")]
    rule: Line
    seconds: Seconds
    metrics: Json
    step: Count | None = None
    """the training step of the measured weights; earlier versions did not store it"""


class RunDirectory:
    """The run directory at `path`, with an attribute for the path of each part."""

    def __init__(self, path: Path):
        """Set the paths; nothing is read or written."""
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.vocabulary = self.path / "vocabulary.json"
        self.checkpoints = self.path / "checkpoints"
        self.metrics = self.path / "metrics.csv"
        self.tensorboard = self.path / "tensorboard"
        self.samples = self.path / "samples"
        self.figures = self.path / "figures"
        self.evaluation = self.path / "evaluation.json"
        self.test_data_evaluation = self.path / "evaluation_test_data.json"
        self.lock = self.path / ".lock"  # locked by the process that trains here
        self.report = self.path / "report.html"

    @classmethod
    def start(
        cls,
        path: Path,
        example: str,
        settings: Mapping[str, Any],
        data: Mapping[str, Any],
        fresh: bool = False,
        defaults: Mapping[str, Any] | None = None,
    ) -> "RunDirectory":
        """Create the run directory, or open an existing one with the same settings and data; epochs may be more.

        Args:
            path: the folder.
            example: the name of the example, for instance "text_generation".
            settings: the settings that determine the result, as JSON values.
            data: checksums and sizes, which identify the data, as JSON values.
            fresh: move an existing run aside (`NAME.old-1`, ...) and start again; other folders are not moved.
            defaults: the values of settings that a run of an earlier version does not have.

        Raises:
            UserError: the folder holds a run with other settings or data, other files, or links; or `fresh` is set and
                another process trains there.
        """
        run = cls(path)
        if run.path.is_dir():
            require_plain(run.path)
            if fresh and (run.config.exists() or run.checkpoints.is_dir()):
                run._move_aside()
        if run.config.exists():
            run.check_same(example, settings, data, defaults or {})
            run._extend(settings)
        else:
            run._create(example, settings, data)
        run._record_training_data(settings)
        for folder in (run.checkpoints, run.samples, run.figures):
            folder.mkdir(exist_ok=True)
        return run

    @classmethod
    def open(cls, path: Path, example: str) -> "RunDirectory":
        """Open the directory of a trained run.

        Raises:
            UserError: `path` is not a run directory, belongs to another example, or holds links or pipes.
        """
        run = cls(path)
        if not run.config.is_file():
            raise UserError(
                f"{path}: not a run directory (no config.json in it); name the folder that `train` wrote, "
                f"for instance runs/{example}/quick"
            )
        require_plain(run.path)
        trained = run.read_config().example
        if trained != example:
            raise UserError(
                f"{path}: a run of {trained}, expected one of {example}; use `python -m examples.{trained}`"
            )
        return run

    def read_config(self) -> RunConfig:
        """Return the content of `config.json`.

        Raises:
            UserError: the file is missing or invalid.
        """
        return read_record(self.config, RunConfig)

    @property
    def identity(self) -> str:
        """A sha256 that identifies this run wherever it is, and however many epochs it was trained."""
        config = asdict(self.read_config())
        config["settings"].pop("epochs", None)
        del config["extensions"]
        return hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()

    def data_to_use(self, named: str | None, published: Collection[str]) -> str:
        """Return the data set to use with this run: the one that the user has `named`, else the training data.

        A run may come from a stranger, and its settings may name any path. So what is not `published`, a path or a data
        set of tensorflow-datasets, is taken from the settings only if this user trained the run on this machine.

        Raises:
            UserError: the user must name the data set.
        """
        data = self.read_config().settings.get("data")
        if named or data in published:
            return named or data
        try:
            return read_plain(self._training_record(), 1 << 16).decode(errors="surrogateescape")
        except UserError as error:
            raise UserError(
                f"{self.path}: its settings name the data {str(data)[:200]!r}, but you did not train it on this "
                f"machine; if you trust this data, name it: --data {shlex.quote(str(data)[:200])}"
            ) from error

    def require_training_data(self, fingerprint: Mapping[str, Any], name: str) -> None:
        """Raise UserError if the data set called `name`, with this fingerprint, is not that of the training."""
        if differences := _differences(self.read_config().data, fingerprint):
            raise UserError(
                f"{name}: not the data that {self.path} was trained on ({'; '.join(differences[:3])}); name that "
                "with --data, or measure on this with --test-data"
            )

    def _record_training_data(self, settings: Mapping[str, Any]) -> None:
        """Store the data set of this run in the user's cache, which a run from elsewhere cannot change."""
        data = settings.get("data")
        if not isinstance(data, str):
            return
        parts = [data] if os.path.exists(data) else data.split(",")  # parallel files have a comma between
        location = data if data.startswith("tfds:") else ",".join(map(os.path.abspath, parts))
        try:
            self._training_record().parent.mkdir(parents=True, exist_ok=True)
            write_atomically(self._training_record(), location.encode(errors="surrogateescape"))
        except OSError:  # then `evaluate` asks the user
            pass

    def _training_record(self) -> Path:
        """Return the path of the record of the training data, in the cache of the user who trained the run."""
        return Path(platformdirs.user_cache_dir("eager-examples")) / "trained" / self.identity

    def write_metrics(self, rows: list[dict[str, float]]) -> None:
        """Write `metrics.csv`: `epoch,step,seconds`, then one column per metric, exact; NaN where there is none."""
        table = io.StringIO()
        names = [*dict.fromkeys(name for row in rows for name in row)] or ["epoch", "step", "seconds"]
        writer = csv.DictWriter(table, names, restval=math.nan)  # a changed model may have metrics of its own
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.metrics, table.getvalue())

    def read_metrics(self, *columns: str) -> list[dict[str, float]]:
        """Return the rows of `metrics.csv`, which must have `columns`; [] if there is no such file yet.

        Raises:
            UserError: the file is unreadable or invalid.
        """
        if not self.metrics.exists():
            return []
        try:
            text = read_plain(self.metrics, _MAX_METRICS_BYTES).decode("utf-8")
            rows = [
                {name: float(value) for name, value in row.items()}
                for row in csv.DictReader(io.StringIO(text, newline=""), strict=True)
            ]
            for row in rows:
                _check_counts(row)
                if missing := {*columns} - row.keys():
                    raise ValueError(f"no column {', '.join(sorted(missing))}")
            return rows
        except (ValueError, TypeError, LookupError, csv.Error) as error:
            raise UserError(f"{self.metrics}: damaged ({error}); the `train` command writes it again") from error

    def write_evaluation(
        self, split: str, rule: str, seconds: float, metrics: Mapping[str, Any], test_data: str | None = None
    ) -> None:
        """Write `evaluation.json`, or that of `test_data`, in place of a split: the metrics and their rule."""
        if test_data is not None:
            split, rule = "test-data", f"test data {one_line(test_data)}: {rule}"
        entry = asdict(Evaluation(split, rule, round(seconds, 1), dict(metrics), self._weights_step()))
        path = self.evaluation if test_data is None else self.test_data_evaluation
        write_atomically(path, json.dumps(entry, indent=2) + "\n")

    def read_evaluation(self) -> Evaluation | None:
        """Return the content of `evaluation.json`, None if there is no such file yet, or if it is of other weights.

        Training on may have replaced the best weights since they were measured.

        Raises:
            UserError: the file is unreadable or invalid.
        """
        if not self.evaluation.exists():
            return None
        evaluation, step = read_record(self.evaluation, Evaluation), self._weights_step()
        is_outdated = None not in (evaluation.step, step) and evaluation.step != step
        return None if is_outdated else evaluation

    def _weights_step(self) -> int | None:
        """Return the training step of the best weights, or of the latest if there are no best ones."""
        for kind in ("best", "latest"):
            if names := [path.name for path in self.checkpoints.glob(f"{kind}-" + "[0-9]" * 8)]:
                return int(max(names).rpartition("-")[2])
        return None

    def _create(self, example: str, settings: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        # Here because they import TensorFlow, which those who only read a run do not need.
        import keras
        import tensorflow as tf

        from common.training.hardware import describe_hardware

        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be created ({error.strerror}); name another --run-dir") from error
        if not all(map(is_temporary, self.path.iterdir())):
            raise UserError(f"{self.path}: not empty and not a run directory; name another folder with --run-dir")
        config = {
            "example": example,
            "settings": settings,
            "data": data,
            "versions": {
                "python": platform.python_version(),
                "tensorflow": tf.__version__,
                "keras": keras.__version__,
                "eager-examples": common.__version__,
            },
            "created": time.strftime("%Y-%m-%d %H:%M:%S"),
            "hardware": describe_hardware(),
        }
        self._write_config(config)

    def _write_config(self, config: Mapping[str, Any]) -> None:
        write_atomically(self.config, json.dumps(config, indent=2, ensure_ascii=False) + "\n")

    def _extend(self, settings: Mapping[str, Any]) -> None:
        """Store the number of epochs if it is larger than before; `Trainer` then trains on."""
        config = asdict(self.read_config())
        before, now = config["settings"].get("epochs"), settings.get("epochs")
        if before == now:
            return
        config["settings"]["epochs"] = now
        config["extensions"].append(f"{time.strftime('%Y-%m-%d %H:%M:%S')}: {now} epochs instead of {before}")
        with exclusive(self.lock):  # else the settings of a run would change while another process trains it
            self._write_config(config)

    def check_same(
        self, example: str, settings: Mapping[str, Any], data: Mapping[str, Any], defaults: Mapping[str, Any]
    ) -> None:
        """Check that this run has these settings and data; for the arguments see `start`.

        Raises:
            UserError: it has others, apart from fewer epochs and another path of the same data.
        """
        before = self.read_config()
        if before.example != example:
            raise UserError(f"{self.path}: a run of {before.example}, not of {example}; name another --run-dir")
        if differences := _differences({**defaults, **before.settings}, settings) + _differences(before.data, data):
            preset = before.settings.get("preset")
            use = f"add --preset {preset}" if preset != settings.get("preset") else "use those"
            raise UserError(
                f"{self.path}: trained with other settings ({'; '.join(differences)}); to resume, {use} (only "
                "--epochs may be larger); to start again, add --fresh (the old run is moved aside, not deleted), or "
                "name another --run-dir"
            )

    def _move_aside(self) -> None:
        if Path.cwd().is_relative_to(self.path.resolve()):
            raise UserError(f"{self.path}: cannot be moved aside from inside it; change to a folder above it")
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.old-{number}")).exists():
            number += 1
        with exclusive(self.lock):  # else another process might still train in the renamed folder
            self.path.rename(aside)
        echo(f"The old run in {self.path} is now in {aside}")


def _differences(before: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """Return what differs between the settings of a run, or its data, and those of now, in words."""
    return [
        f"{name} {before.get(name)!r:.200} there, {now.get(name)!r:.200} now"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name) and not _may_differ(name, before.get(name), now.get(name))
    ]


def _may_differ(name: str, before: Any, now: Any) -> bool:
    """Return whether a run goes on although a setting has another value: more epochs, or a path of the data.

    The same data may have another path, and the fingerprint identifies it.
    """
    if name == "data" and isinstance(now, str):
        return any(map(os.path.exists, [now, *now.split(",")]))  # parallel files have a comma between
    return name == "epochs" and isinstance(before, int) and isinstance(now, int) and 1 <= before < now


def _check_counts(row: Mapping[str, float]) -> None:
    """Raise ValueError if a row of `metrics.csv` has an impossible epoch, step, time or column name."""
    for name in ("epoch", "step", "seconds"):
        if not 0 <= row[name] <= _MAX_COUNT or (name != "seconds" and row[name] != int(row[name])):
            raise ValueError(f"{name} {row[name]}")
    if wrong := [name for name in row if not name.isidentifier()]:
        raise ValueError(f"column {wrong[0]!r}")


def read_listing(path: Path) -> str:
    """Return the text of a file in a run directory.

    Raises:
        UserError: the file is unreadable or not UTF-8.
    """
    try:
        return read_plain(path, _MAX_TEXT_BYTES).decode("utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: damaged ({error}); restore it from a copy of the run") from error
