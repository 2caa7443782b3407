"""Commands that all examples share: print an evaluation, export a SavedModel."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from common.app.cli import EvaluateOptions, OutputOptions
from common.app.report import direction, flatten, format_value
from common.io.terminal import echo
from common.training.run_directory import RunDirectory


def print_evaluation(
    metrics: Mapping[str, Any], options: EvaluateOptions, write_report: Callable[[RunDirectory], Path]
) -> None:
    """Print one metric per line, and update the report of the run unless `--no-write` was given."""
    values = flatten(metrics)
    width = max(map(len, values))
    for name, value in values.items():
        echo(f"{name:<{width}} {format_value(value)}  {direction(name)}".rstrip())
    if options.write:
        run = RunDirectory(options.run)
        written = run.test_data_evaluation if options.test_data else f"{run.evaluation}, {write_report(run)}"
        echo(f"written: {written}")


def export_portable(run: RunDirectory, model: Any, options: Any) -> None:
    """Write a model of Keras' own layers in `options.format`, by default to RUN/model.keras and so on."""
    from common.app.portable import write_portable  # here because it imports TensorFlow

    path = options.out or run.path / f"model.{options.format}"
    echo(f"written: {write_portable(model, path, options.format, options.overwrite)}")


def export_model(run: RunDirectory, model: Any, options: OutputOptions, export: Callable[..., Path]) -> None:
    """Export a model with `export(model, folder, maker, overwrite)`, by default to RUN/saved_model."""
    folder = options.out or run.path / "saved_model"
    echo(f"written: {export(model, folder, run.identity, options.overwrite)}")
