"""The commands: python -m examples.nmt_attention {train|translate|evaluate|export}.

Their flags are the fields of the dataclasses in config.py.
"""

import sys

from common.app.cli import Command, main
from examples.nmt_attention.config import PRESETS, Config, EvaluateOptions, ExportOptions, TranslateOptions

# The verbs import TensorFlow, not this module, so that --help is fast.


def train(config: Config) -> None:
    """Train or resume, and write the report."""
    from common.io.terminal import echo
    from examples.nmt_attention.report import write_report
    from examples.nmt_attention.train import train

    run = train(config)
    page = write_report(run)
    echo(f"report: {page}\nnow try: python -m examples.nmt_attention translate --run {run.path} SENTENCE")


def translate(options: TranslateOptions) -> None:
    """Write the translations to stdout, a line for a line."""
    from common.io.terminal import echo, warn
    from common.training.run_directory import RunDirectory
    from examples.nmt_attention.demo import SentenceTranslator
    from examples.nmt_attention.demonstrate import text_io

    run = RunDirectory.open(options.run, Config.EXAMPLE)
    if text_io.is_interactive(options):
        warn("loading the model; a sentence a line, please; Ctrl-D ends")
    translator, sentences = SentenceTranslator.load(run), text_io.input_lines(options)
    for line in text_io.output_lines(translator, sentences, text_io.reference_lines(options), options, run.identity):
        echo(line)


def evaluate(options: EvaluateOptions) -> None:
    """Print and write the metrics, and update the report."""
    from common.app.commands import print_evaluation
    from examples.nmt_attention.evaluate import evaluate
    from examples.nmt_attention.report import write_report

    print_evaluation(evaluate(options), options, write_report)


def export(options: ExportOptions) -> None:
    """Write a SavedModel and print its path."""
    from common.app.commands import export_model
    from common.training.run_directory import RunDirectory
    from examples.nmt_attention.demo import SentenceTranslator
    from examples.nmt_attention.export import export

    run = RunDirectory.open(options.run, Config.EXAMPLE)
    export_model(run, SentenceTranslator.load(run), options, export)


COMMANDS = {
    "train": Command("train or resume a model", Config, train, PRESETS),
    "translate": Command("translate sentences with a trained model", TranslateOptions, translate),
    "evaluate": Command("measure a trained model on held-out sentences", EvaluateOptions, evaluate),
    "export": Command("write a SavedModel that maps sentences to translations", ExportOptions, export),
}

if __name__ == "__main__":
    summary = "Translation with attention: train on pairs of sentences, translate, and draw attention maps."
    sys.exit(main("python -m examples.nmt_attention", summary, COMMANDS))
