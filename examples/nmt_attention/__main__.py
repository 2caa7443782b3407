"""The command line: python -m examples.nmt_attention {train|translate|evaluate|export}."""

import sys

from common.app.cli import Command, main
from examples.nmt_attention.config import PRESETS, Config, EvaluateOptions, ExportOptions, TranslateOptions

# TensorFlow is imported by the commands, not here, so that --help answers at once.


def train(config: Config) -> None:
    """Train or resume, and write the report."""
    from common.io.terminal import echo
    from examples.nmt_attention.report import write_report
    from examples.nmt_attention.train import train

    run = train(config)
    page = write_report(run)
    echo(f"report: {page}\nnow try: python -m examples.nmt_attention translate --run {run.path} SENTENCE")


def translate(options: TranslateOptions) -> None:
    """Write translations to stdout, a line for a line."""
    from common.io.terminal import echo
    from common.training.run_directory import RunDirectory
    from examples.nmt_attention.demo import SentenceTranslator
    from examples.nmt_attention.text_io import input_lines, output_lines

    run = RunDirectory.open(options.run, Config.EXAMPLE)
    translator = SentenceTranslator.load(run)
    for line in output_lines(translator, input_lines(options), options, run.identity):
        echo(line)


def evaluate(options: EvaluateOptions) -> None:
    """Measure, and refresh the report."""
    from common.app.report import flatten, format_value
    from common.io.terminal import echo
    from common.training.run_directory import RunDirectory
    from examples.nmt_attention.evaluate import evaluate
    from examples.nmt_attention.report import write_report

    run = RunDirectory.open(options.run, Config.EXAMPLE)
    settings = (options.split, options.beam, options.length_penalty, options.data, options.data_dir, options.write)
    for name, value in flatten(evaluate(run, *settings)).items():
        echo(f"{name:<28} {format_value(value)}")
    if options.write:
        echo(f"written: {run.evaluation}, {write_report(run)}")


def export(options: ExportOptions) -> None:
    """Write a SavedModel and say where."""
    from common.io.terminal import echo
    from common.training.run_directory import RunDirectory
    from examples.nmt_attention.demo import SentenceTranslator
    from examples.nmt_attention.export import export

    run = RunDirectory.open(options.run, Config.EXAMPLE)
    folder = options.out or run.path / "saved_model"
    echo(f"written: {export(SentenceTranslator.load(run), folder, run.identity, options.overwrite)}")


COMMANDS = {
    "train": Command("train or resume a model", Config, train, PRESETS),
    "translate": Command("translate sentences with a trained model", TranslateOptions, translate),
    "evaluate": Command("measure a trained model on held-out sentences", EvaluateOptions, evaluate),
    "export": Command("write a SavedModel, sentences in and sentences out", ExportOptions, export),
}

if __name__ == "__main__":
    summary = "Translation with attention: learns one language from another by sentence pairs, and draws its attention."
    sys.exit(main("python -m examples.nmt_attention", summary, COMMANDS))
