"""The command line: python -m examples.text_generation {train|generate|evaluate|export}."""

import sys

from common.cli import Verb, main
from examples.text_generation.config import PRESETS, Config, EvaluateOptions, ExportOptions, GenerateOptions

# TensorFlow is imported by the verbs, not here, so that --help answers at once.


def train(config: Config) -> None:
    """Train or resume, and write the report."""
    from examples.text_generation.report import write_report
    from examples.text_generation.train import train

    run = train(config)
    page = write_report(run)
    print(f"report: {page}\nnow try: python -m examples.text_generation generate --run {run.path}")


def generate(options: GenerateOptions) -> None:
    """Write continuations to stdout as they are made."""
    from common.run import Run
    from common.text import printable, read_text
    from examples.text_generation.demo import Sampling, TextGenerator

    run = Run.open(options.run, Config.EXAMPLE)
    generator = TextGenerator.load(run)
    prompt = options.prompt or (read_text(options.prompt_file) if options.prompt_file else None)
    prompt = prompt or run.read_config()["settings"]["prompt"]
    sampling = Sampling(options.temperature, options.top_k, options.top_p, options.seed)
    if options.samples == 1:
        print(printable(prompt), end="", flush=True)
        for [piece] in generator.stream(prompt, options.length, sampling):
            print(printable(piece), end="", flush=True)
        print()
        return
    for number, text in enumerate(generator.generate(prompt, options.length, sampling, options.samples), start=1):
        print(f"--- {number} of {options.samples} ---\n{printable(prompt + text)}")


def evaluate(options: EvaluateOptions) -> None:
    """Measure, and refresh the report."""
    from common.report import flat, readable
    from common.run import Run
    from examples.text_generation.evaluate import evaluate
    from examples.text_generation.report import write_report

    run = Run.open(options.run, Config.EXAMPLE)
    for name, value in flat(evaluate(run, options.data, options.data_dir)).items():
        print(f"{name:<28} {readable(value)}")
    print(f"written: {run.evaluation}, {write_report(run)}")


def export(options: ExportOptions) -> None:
    """Write a SavedModel and say how to use it."""
    from common.run import Run
    from examples.text_generation.demo import TextGenerator
    from examples.text_generation.export import export

    run = Run.open(options.run, Config.EXAMPLE)
    folder = export(TextGenerator.load(run), options.out or run.path / "saved_model")
    print(f"written: {folder}")


VERBS = {
    "train": Verb("train or resume a model", Config, train, PRESETS),
    "generate": Verb("continue a prompt with a trained model", GenerateOptions, generate),
    "evaluate": Verb("measure a trained model on held-out text", EvaluateOptions, evaluate),
    "export": Verb("write a SavedModel, text in and text out", ExportOptions, export),
}

if __name__ == "__main__":
    summary = "Character RNN: learns to write from any text, one character at a time."
    sys.exit(main("python -m examples.text_generation", summary, VERBS))
