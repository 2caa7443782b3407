"""The commands: python -m examples.dcgan {train|generate|evaluate|export}.

Their flags are the fields of the dataclasses in config.py.
"""

import sys
from functools import partial

from common.app import commands
from common.app.cli import Command, main
from examples.dcgan.config import PRESETS, Config, EvaluateOptions, ExportOptions, GenerateOptions


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


train = partial(commands.train, __package__, "evaluate --run {run}{data_dir}")
evaluate = partial(commands.evaluate, __package__)
export = partial(commands.export, __package__, "ImageGenerator")
COMMANDS = {
    "train": Command("train or resume a model", Config, train, PRESETS),
    "generate": Command("generate images: a sheet, single files, or an interpolation", GenerateOptions, generate),
    "evaluate": Command("compare generated with real images", EvaluateOptions, evaluate),
    "export": Command("write the generator for TensorFlow, Keras, LiteRT or ONNX", ExportOptions, export),
}

if __name__ == "__main__":
    summary = "DCGAN: train a generator and a discriminator against each other, on digits or on your own images."
    sys.exit(main("python -m examples.dcgan", summary, COMMANDS))
