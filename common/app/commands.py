"""The commands that are the same in all examples but for the model: print an evaluation, export a SavedModel."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from common.app.cli import EvaluateOptions, OutputOptions
from common.app.report import flat, readable
from common.io.terminal import echo
from common.training.run_directory import Run


def print_evaluation(
    run: Run, metrics: Mapping[str, Any], options: EvaluateOptions, write_report: Callable[[Run], Path]
) -> None:
    """Print the metrics, one a line, and refresh the report unless `--no-write` was given."""
    values = flat(metrics)
    width = max(map(len, values))
    for name, value in values.items():
        echo(f"{name:<{width}} {readable(value)}")
    if options.write:
        echo(f"written: {run.evaluation}, {write_report(run)}")


def export_model(run: Run, model: Any, options: OutputOptions, export: Callable[[Any, Path, str, bool], Path]) -> None:
    """Export a loaded model with `export(model, folder, maker, overwrite)`, by default to RUN/saved_model."""
    folder = options.out or run.path / "saved_model"
    echo(f"written: {export(model, folder, run.identity, options.overwrite)}")
