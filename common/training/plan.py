"""The plan of a training on the user's own data: its epochs and batch size fit the number of examples."""

import math
from dataclasses import replace
from typing import Any, TypeVar

from common.io.terminal import echo, warn
from common.training.run_directory import RunDirectory

Options = TypeVar("Options", bound=Any)  # of `train`

_STEPS_PER_EPOCH = 16
"""The batch size is halved until an epoch has so many steps."""
_MAX_EPOCHS = 300


def stored_plan(config: Options) -> Options:
    """Return `config` with the plan of the run that it resumes; unchanged if there is none.

    Raises:
        UserError: the settings of the run are damaged, or differ from those in `config`; said before a download.
    """
    run = RunDirectory(config.run_path)
    if config.fresh or not run.config.is_file():
        return config
    stored = run.read_config()
    open_to_data = {name for name, value in config.settings().items() if value is None} | {*config.adaptable}
    known = {name: value for name, value in config.settings().items() if name not in open_to_data}
    run.check_same(config.EXAMPLE, stored.settings | known, stored.data, config.defaults())
    if not config.adaptable:
        return config
    settings = config.from_settings(stored.settings)
    return replace(config, adaptable=(), **{name: getattr(settings, name) for name in config.adaptable})


def fit_plan(config: Options, examples: float, what: str, min_steps: int, min_batch_size: int = 16) -> Options:
    """Return `config` with batch size and epochs for at least `min_steps` steps, and print what was chosen.

    `examples` counts the training examples as a batch does; the message calls them `what`. With fewer steps the model
    learns nothing. An epoch covers all examples, even if the preset limits its steps. Where the user limits them, for a
    first try, the epochs stay as they are.

    Only the settings in `config.adaptable` change; a flag, or a call from Python, sets the others.
    """
    if "steps_per_epoch" in config.adaptable:
        config = replace(config, steps_per_epoch=None)
    batch_size, epochs = config.batch_size, config.epochs
    if "batch_size" in config.adaptable:
        while batch_size // 2 >= min_batch_size and examples < _STEPS_PER_EPOCH * batch_size:
            batch_size //= 2
    steps = max(1, min(config.steps_per_epoch or math.inf, math.ceil(examples / batch_size)))
    if "epochs" in config.adaptable and not config.steps_per_epoch:
        epochs = min(_MAX_EPOCHS, max(epochs, math.ceil(min_steps / steps)))
    if (batch_size, epochs) == (config.batch_size, config.epochs):
        return config
    before = min(config.steps_per_epoch or math.inf, math.ceil(examples / config.batch_size))
    echo(
        f"plan: {epochs} epochs in batches of {batch_size}, {epochs * steps:,} steps, for {what}; {config.epochs} "
        f"epochs in batches of {config.batch_size} would be {config.epochs * before:,} steps (--epochs and "
        "--batch-size choose others)"
    )
    return replace(config, batch_size=batch_size, epochs=epochs)


def warn_if_few(count: int, minimum: int, what: str, consequence: str) -> None:
    """Warn if `count`, the number of `what` in the user's training data, is below `minimum`."""
    if count < minimum:
        warn(f"warning: {count:,} {what} are few: {consequence}; bring {minimum:,} or more")
