"""The commands: python -m examples.dcgan {train|generate|evaluate|export}.

Their flags are the fields of the dataclasses in config.py.
"""

import sys

from common.app.cli import Command, main
from examples.dcgan.config import PRESETS, Config, EvaluateOptions, ExportOptions, GenerateOptions

# The verbs import TensorFlow, not this module, so that --help is fast.


def train(config: Config) -> None:
    """Train or resume, and write the report."""
    from common.io.terminal import echo
    from examples.dcgan.report import write_report
    from examples.dcgan.train import train

    run = train(config)
    page = write_report(run)
    data_dir = f" --data-dir {config.data_dir}" if config.data_dir else ""
    echo(f"report: {page}\nnow try: python -m examples.dcgan evaluate --run {run.path}{data_dir}")


def generate(options: GenerateOptions) -> None:
    """Write a sheet, single files or an interpolation."""
    from common.app.outputs import Outputs
    from common.io.terminal import echo
    from common.training.run_directory import RunDirectory
    from examples.dcgan.demo import ImageGenerator, write_files, write_interpolation, write_sheet

    run = RunDirectory.open(options.run, Config.EXAMPLE)
    generator = ImageGenerator.load(run, epoch=options.epoch)
    folder = run.path / "generated"
    if options.epoch is not None:
        folder /= f"epoch_{options.epoch:04d}"
    outputs = Outputs(options.out or folder, f"{run.identity} {options.epoch}", options.overwrite)
    if options.interpolate:
        written = write_interpolation(generator, options.interpolate, options.samples or 16, outputs)
    elif options.files:
        written = write_files(generator, options.samples or 64, options.seed, outputs)
    else:
        written = write_sheet(generator, options.samples or 64, options.seed, outputs)
    echo(f"written: {written}")


def evaluate(options: EvaluateOptions) -> None:
    """Print and write the metrics, and update the report."""
    from common.app.commands import print_evaluation
    from examples.dcgan.evaluate import evaluate
    from examples.dcgan.report import write_report

    print_evaluation(evaluate(options), options, write_report)


def export(options: ExportOptions) -> None:
    """Write the generator and print the path."""
    from common.app.commands import export_model, export_portable
    from common.training.run_directory import RunDirectory
    from examples.dcgan.demo import ImageGenerator
    from examples.dcgan.export import export, plain_generator

    run = RunDirectory.open(options.run, Config.EXAMPLE)
    generator = ImageGenerator.load(run)
    if options.format == "saved_model":
        export_model(run, generator, options, export)
    else:
        export_portable(run, plain_generator(generator.model), options)


COMMANDS = {
    "train": Command("train or resume a model", Config, train, PRESETS),
    "generate": Command("generate images: a sheet, single files, or an interpolation", GenerateOptions, generate),
    "evaluate": Command("compare generated with real images", EvaluateOptions, evaluate),
    "export": Command("write the generator for TensorFlow, Keras, LiteRT or ONNX", ExportOptions, export),
}

if __name__ == "__main__":
    summary = "DCGAN: train a generator and a discriminator against each other, on digits or on your own images."
    sys.exit(main("python -m examples.dcgan", summary, COMMANDS))
