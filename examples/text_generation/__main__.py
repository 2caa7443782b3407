"""The commands: python -m examples.text_generation {train|generate|evaluate|export}.

Their flags are the fields of the dataclasses in config.py.
"""

import sys
from functools import partial

from common.app import commands
from common.app.cli import Command, main
from examples.text_generation.config import PRESETS, Config, EvaluateOptions, ExportOptions, GenerateOptions


def generate(options: GenerateOptions) -> None:
    """Write continuations to stdout as they are made.

    Raises:
        UserError: no prompt, or one with characters that are not in the vocabulary.
    """
    import secrets

    from common.errors import UserError
    from common.io.terminal import echo, warn
    from common.training.run_directory import RunDirectory
    from examples.text_generation.demo import Sampling, TextGenerator, read_prompt_file

    run = RunDirectory.open(options.run, Config.EXAMPLE)
    generator = TextGenerator.load(run)
    prompt = options.prompt
    if options.prompt_file:
        prompt = read_prompt_file(options.prompt_file, options.encoding, generator.vocabulary.symbols)
    prompt = prompt or Config.from_settings(run.read_config().settings).prompt
    if prompt is None:
        raise UserError(f"{run.path}: has no prompt of its own; give one with --prompt")
    seed = secrets.randbelow(10**6) if options.seed is None else options.seed
    sampling = Sampling(options.temperature, options.top_k, options.top_p, seed)
    if options.samples == 1:
        chunks = generator.stream(prompt, options.length, sampling)
        [first] = next(chunks)  # before anything is printed: characters may not be in the vocabulary
        echo(prompt + first, end="")
        for [chunk] in chunks:
            echo(chunk, end="")
        echo()
    else:
        texts = generator.generate(prompt, options.length, sampling, options.samples)
        for number, text in enumerate(texts, start=1):
            echo(f"--- {number} of {options.samples} ---\n{prompt + text}")
    if options.seed is None and options.temperature > 0:
        warn(f"seed {seed} (--seed {seed} writes the same again)")


train = partial(commands.train, __package__, "generate --run {run}")
evaluate = partial(commands.evaluate, __package__)
export = partial(commands.export, __package__, "TextGenerator")
COMMANDS = {
    "train": Command("train or resume a model", Config, train, PRESETS),
    "generate": Command("continue a prompt with a trained model", GenerateOptions, generate),
    "evaluate": Command("measure a trained model on validation text", EvaluateOptions, evaluate),
    "export": Command("write a SavedModel, text in and text out", ExportOptions, export),
}

if __name__ == "__main__":
    summary = "Text generation: train a character-level recurrent network on any text, and generate more of it."
    sys.exit(main("python -m examples.text_generation", summary, COMMANDS))
