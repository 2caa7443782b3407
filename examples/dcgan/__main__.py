"""The command line: python -m examples.dcgan {train|generate|evaluate|export}."""

import sys

from common.cli import Verb, main
from examples.dcgan.config import PRESETS, Config, EvaluateOptions, ExportOptions, GenerateOptions

# TensorFlow is imported by the verbs, not here, so that --help answers at once.


def train(config: Config) -> None:
    """Train or resume, and write the report."""
    from examples.dcgan.report import write_report
    from examples.dcgan.train import train

    run = train(config)
    page = write_report(run)
    print(f"report: {page}\nnow try: python -m examples.dcgan evaluate --run {run.path}")


def generate(options: GenerateOptions) -> None:
    """Write a sheet, single files or a walk."""
    from common.run import Run
    from examples.dcgan.demo import ImageGenerator, draw_walk, sheet, write_files

    run = Run.open(options.run, Config.EXAMPLE)
    generator = ImageGenerator.load(run)
    folder = options.out or run.path / "generated"
    folder.mkdir(parents=True, exist_ok=True)
    if options.walk:
        written = folder / f"walk_{'_'.join(map(str, options.walk))}.gif"
        draw_walk(generator, options.walk, options.samples or 16, written)
    elif options.files:
        written = folder
        write_files(generator.draw(options.samples or 64, options.seed), folder)
    else:
        written = folder / f"seed_{options.seed}.png"
        sheet(generator.draw(options.samples or 64, options.seed)).save(written)
    print(f"written: {written}")


def evaluate(options: EvaluateOptions) -> None:
    """Measure, and refresh the report."""
    from common.report import flat, readable
    from common.run import Run
    from examples.dcgan.evaluate import evaluate
    from examples.dcgan.report import write_report

    run = Run.open(options.run, Config.EXAMPLE)
    for name, value in flat(evaluate(run, options.samples, options.data, options.data_dir)).items():
        print(f"{name:<26} {readable(value)}")
    print(f"written: {run.evaluation}, {write_report(run)}")


def export(options: ExportOptions) -> None:
    """Write a SavedModel and say how to use it."""
    from common.run import Run
    from examples.dcgan.demo import ImageGenerator
    from examples.dcgan.export import export

    run = Run.open(options.run, Config.EXAMPLE)
    folder = export(ImageGenerator.load(run), options.out or run.path / "saved_model")
    print(f"written: {folder}")


VERBS = {
    "train": Verb("train or resume a model", Config, train, PRESETS),
    "generate": Verb("make images: a sheet, single files, or a walk from image to image", GenerateOptions, generate),
    "evaluate": Verb("measure how close the images come to real ones", EvaluateOptions, evaluate),
    "export": Verb("write a SavedModel, noise in and images out", ExportOptions, export),
}

if __name__ == "__main__":
    summary = "DCGAN: two networks play against each other until noise turns into digits, or into your own images."
    sys.exit(main("python -m examples.dcgan", summary, VERBS))
