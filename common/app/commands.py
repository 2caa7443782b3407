"""The commands that all examples share; `package` is that of the example.

Its modules, and with them TensorFlow, are imported when a command runs, so that `--help` answers at once.
"""

import os
import shlex
from importlib import import_module

from common.app.cli import EvaluateOptions, OutputOptions, TrainOptions
from common.errors import UserError
from common.io.terminal import echo


def train(package: str, hint: str, config: TrainOptions) -> None:
    """Train or resume, write the report, and print `hint`, the command to try next."""
    run = import_module(f"{package}.train").train(config)
    page = import_module(f"{package}.report").write_report(run)
    data_dir = f" --data-dir {shlex.quote(str(config.data_dir))}" if config.data_dir else ""
    command = hint.format(run=shlex.quote(str(run.path)), data_dir=data_dir)
    echo(f"report: {page}\nnow try: python -m {package} {command}")


def evaluate(package: str, options: EvaluateOptions) -> None:
    """Print one metric per line, and write them and the report of the run unless `--no-write` was given.

    Raises:
        UserError: the run is read-only. This is checked first, because measuring may take minutes.
    """
    if options.write and options.run.is_dir() and not os.access(options.run, os.W_OK):
        raise UserError(f"{options.run}: it is read-only, and the metrics would be written there; add --no-write")
    from common.app.report import direction, flatten, format_value
    from common.training.run_directory import RunDirectory

    values = flatten(import_module(f"{package}.evaluate").evaluate(options))
    width = max(map(len, values))
    for name, value in values.items():
        echo(f"{name:<{width}} {format_value(value)}  {direction(name)}".rstrip())
    if options.write:
        run = RunDirectory(options.run)
        if options.test_data:
            echo(f"written: {run.test_data_evaluation}")
        else:
            echo(f"written: {run.evaluation}, {import_module(f'{package}.report').write_report(run)}")


def export(package: str, loader: str, options: OutputOptions) -> None:
    """Export the model of a run, loaded by the class `loader` of demo.py, and print the path.

    By default it is RUN/saved_model, or RUN/model.FORMAT in another format, for which export.py has `plain_network`.
    """
    from common.training.run_directory import RunDirectory

    run = RunDirectory.open(options.run, package.rpartition(".")[2])
    loaded, exporting = getattr(import_module(f"{package}.demo"), loader).load(run), import_module(f"{package}.export")
    form = getattr(options, "format", "saved_model")
    if form == "saved_model":
        path = exporting.export(loaded, options.out or run.path / form, run.identity, options.overwrite)
    else:
        from common.app.portable import write_portable

        network = exporting.plain_network(loaded.model, form)
        path = write_portable(network, options.out or run.path / f"model.{form}", form, options.overwrite)
    echo(f"written: {path}")
