"""The commands: python -m examples.nmt_attention {train|translate|evaluate|export}.

Their flags are the fields of the dataclasses in config.py.
"""

import sys
from functools import partial

from common.app import commands
from common.app.cli import Command, ExportOptions, main
from examples.nmt_attention.config import PRESETS, Config, EvaluateOptions, TranslateOptions


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


train = partial(commands.train, __package__, "translate --run {run} SENTENCE")
evaluate = partial(commands.evaluate, __package__)
export = partial(commands.export, __package__, "SentenceTranslator")
COMMANDS = {
    "train": Command("train or resume a model", Config, train, PRESETS),
    "translate": Command("translate sentences with a trained model", TranslateOptions, translate),
    "evaluate": Command("measure a trained model on held-out sentences", EvaluateOptions, evaluate),
    "export": Command("write a SavedModel that maps sentences to translations", ExportOptions, export),
}

if __name__ == "__main__":
    summary = "Translation with attention: a GRU encoder-decoder trained on sentence pairs, with attention maps."
    sys.exit(main("python -m examples.nmt_attention", summary, COMMANDS))
