"""The run directory: everything that a training run knows, in one folder that can be moved, zipped and used elsewhere.

config.json        settings, seed, versions, data checksums        samples/   epoch_0001.txt or .png ...
vocabulary*.json   where there is text                             figures/   PNG and GIF
checkpoints/       latest and best                                 evaluation.json   what `evaluate` measured
metrics.csv        one row an epoch      tensorboard/              report.html       all of it on one page
"""

import csv
import io
import json
import os
import platform
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import common
from common.errors import UserError
from common.lock import exclusive


def write_atomically(path: Path, text: str) -> None:
    """Replace the file at `path` by `text`: a reader, or a run killed in the middle, finds the old or the new whole."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


class Run:
    """The run directory at `path`, with a name for each thing in it."""

    def __init__(self, path: Path):
        """Name the parts of `path`; nothing is read or written yet."""
        self.path = Path(path)
        self.config = self.path / "config.json"
        self.vocabulary = self.path / "vocabulary.json"
        self.checkpoints = self.path / "checkpoints"
        self.metrics = self.path / "metrics.csv"
        self.tensorboard = self.path / "tensorboard"
        self.samples = self.path / "samples"
        self.figures = self.path / "figures"
        self.evaluation = self.path / "evaluation.json"
        self.lock = self.path / ".lock"  # held by the process that trains here
        self.report = self.path / "report.html"

    @classmethod
    def start(
        cls,
        path: Path,
        example: str,
        settings: Mapping[str, Any],
        data: Mapping[str, Any],
        data_dir: Path,
        fresh: bool = False,
    ) -> "Run":
        """Create the run directory, or open the one there if it was made with the same settings on the same data.

        Args:
            path: where.
            example: the example's name, for instance "text_generation".
            settings: what decides the outcome, as JSON values.
            data: what identifies the data, as JSON values (checksums, sizes).
            data_dir: the download cache; only a note for `evaluate`, so a resume may use another.
            fresh: move an existing run aside (`NAME.old-1`, ...) and start again.

        Raises:
            UserError: the folder holds a run with other settings or data, or files that are no run; or `fresh` while
                another process trains there.
        """
        run = cls(path)
        if fresh and run.path.is_dir():
            run._move_aside()
        if run.config.exists():
            run._check_same(example, settings, data)
        else:
            run._create(example, settings, data, data_dir)
        for folder in (run.checkpoints, run.samples, run.figures):
            folder.mkdir(exist_ok=True)
        return run

    @classmethod
    def open(cls, path: Path, example: str) -> "Run":
        """Open a trained run for use.

        Raises:
            UserError: `path` is no run directory, or one of another example.
        """
        run = cls(path)
        if not run.config.is_file():
            raise UserError(
                f"{path}: not a run directory (no config.json in it); name the folder that `train` wrote, "
                f"for instance runs/{example}/quick"
            )
        trained = run.read_config()["example"]
        if trained != example:
            raise UserError(
                f"{path}: a run of {trained}, expected one of {example}; use `python -m examples.{trained}`"
            )
        return run

    def read_config(self) -> dict[str, Any]:
        """Return what `start` wrote: example, settings, data, data_dir, versions, created.

        Raises:
            UserError: the file cannot be read as such.
        """
        try:
            config = json.loads(self.config.read_text(encoding="utf-8"))
            kinds = {"example": str, "settings": dict, "data": dict, "data_dir": str, "versions": dict, "created": str}
            wrong = [name for name, kind in kinds.items() if not isinstance(config.get(name), kind)]
            if wrong:
                raise ValueError(f"no good {', '.join(wrong)}")
            return config
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            raise UserError(f"{self.config}: damaged ({error}); restore it, or train again with --fresh") from error

    def write_metrics(self, rows: list[dict[str, float]]) -> None:
        """Write `metrics.csv`: `epoch,step,seconds`, then one column a metric, in full float precision."""
        table = io.StringIO()
        writer = csv.DictWriter(table, fieldnames=list(rows[0]) if rows else ["epoch", "step", "seconds"])
        writer.writeheader()
        writer.writerows(rows)
        write_atomically(self.metrics, table.getvalue())

    def read_metrics(self) -> list[dict[str, float]]:
        """Return the rows of `metrics.csv`, none if there is no such file yet.

        Raises:
            UserError: the file cannot be read as such.
        """
        if not self.metrics.exists():
            return []
        try:
            with open(self.metrics, encoding="utf-8", newline="") as file:
                return [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
        except (OSError, ValueError, TypeError, csv.Error) as error:
            raise UserError(f"{self.metrics}: damaged ({error}); the `train` command writes it again") from error

    def write_evaluation(self, split: str, rule: str, seconds: float, metrics: Mapping[str, Any]) -> None:
        """Write `evaluation.json`: the metrics with the rule by which they were measured."""
        entry = {"split": split, "rule": rule, "seconds": round(seconds, 1), "metrics": metrics}
        write_atomically(self.evaluation, json.dumps(entry, indent=2) + "\n")

    def read_evaluation(self) -> dict[str, Any] | None:
        """Return what `write_evaluation` wrote, None if nothing was measured yet.

        Raises:
            UserError: the file cannot be read as such.
        """
        if not self.evaluation.exists():
            return None
        try:
            entry = json.loads(self.evaluation.read_text(encoding="utf-8"))
            if not {"split", "rule", "seconds", "metrics"} <= entry.keys():
                raise ValueError("entries are missing")
            return entry
        except (OSError, ValueError, AttributeError, RecursionError) as error:
            raise UserError(f"{self.evaluation}: damaged ({error}); `evaluate` writes it again") from error

    def sweep(self) -> None:
        """Delete what killed processes left of files half written; for the one process that trains here."""
        for leftover in self.path.rglob(".*.tmp"):
            leftover.unlink(missing_ok=True)

    def _create(self, example: str, settings: Mapping[str, Any], data: Mapping[str, Any], data_dir: Path) -> None:
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise UserError(f"{self.path}: cannot be created ({error.strerror}); name another --run-dir") from error
        if any(entry.suffix != ".tmp" for entry in self.path.iterdir()):
            raise UserError(f"{self.path}: holds files that are no run; name a new or empty folder with --run-dir")
        config = {
            "example": example,
            "settings": settings,
            "data": data,
            "data_dir": str(data_dir.absolute()),
            "versions": {
                "python": platform.python_version(),
                "tensorflow": version("tensorflow"),
                "keras": version("keras"),
                "eager-examples": common.__version__,
            },
            "created": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        write_atomically(self.config, json.dumps(config, indent=2, ensure_ascii=False) + "\n")

    def _check_same(self, example: str, settings: Mapping[str, Any], data: Mapping[str, Any]) -> None:
        before = self.read_config()
        if before["example"] != example:
            raise UserError(f"{self.path}: a run of {before['example']}, not of {example}; name another --run-dir")
        differences = [
            f"{name} {old.get(name)!r} there, {new.get(name)!r} now"
            for old, new in ((before["settings"], settings), (before["data"], data))
            for name in sorted(old.keys() | new.keys())
            if old.get(name) != new.get(name)
        ]
        if differences:
            raise UserError(
                f"{self.path}: trained with other settings ({'; '.join(differences)}); to resume, use those; to start "
                "again, add --fresh (the old run is moved aside, not deleted), or name another --run-dir"
            )

    def _move_aside(self) -> None:
        number = 1
        while (aside := self.path.with_name(f"{self.path.name}.old-{number}")).exists():
            number += 1
        with exclusive(self.lock):  # or else another process would go on training in a folder of another name
            self.path.rename(aside)
        print(f"The run that was at {self.path} is now at {aside}")
