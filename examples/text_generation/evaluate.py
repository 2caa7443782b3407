r"""Step 5, continued: measure the trained model on the validation text.

The measure of a language model is its mean negative log-likelihood (nll) on text that it was not trained on: **nats
per character**, the mean of $-\ln p$, or **bits per character**, the same divided by $\ln 2$. Every validation
character counts once. A prediction may use all that came before it, so the state is carried through. Others measure
on windows that each start from a zero state, which gives a slightly higher number, so that number is given as well.
"""

import math
import time

import numpy as np

from common.errors import UserError
from common.training import trainer
from common.training.checkpoints import restore_weights
from common.training.run_directory import RunDirectory
from examples.text_generation.config import Config, EvaluateOptions
from examples.text_generation.data import VALIDATION_STREAMS, contiguous_batches, independent_windows, load_corpus
from examples.text_generation.demo import build_model
from examples.text_generation.model import TrainableCharRNN

WINDOW = 256  # characters of context at most in the second rule, as others report it


def evaluate(options: EvaluateOptions, model_class: type[TrainableCharRNN] = TrainableCharRNN) -> dict[str, float]:
    """Measure the best checkpoint of a run on all validation characters and return the metrics.

    Raises:
        UserError: no checkpoint, or the data is not what the model was trained on.
    """
    started = time.monotonic()
    run = RunDirectory.open(options.run, Config.EXAMPLE)
    trained = run.read_config()
    config = Config.from_settings(trained.settings)
    trainer.set_seed_and_precision(config.seed, config.precision)
    data = run.data_to_use(options.data, Config.DATA_SETS)
    corpus = load_corpus(data, config.window, **config.corpus(), data_dir=options.data_dir)
    if corpus.fingerprint != trained.data:
        raise UserError(f"{data}: not the text that {run.path} was trained on; name that text with --data")
    model = build_model(config, len(corpus.vocabulary), model_class)
    restore_weights(run.checkpoints, model)
    metrics = measure(model, corpus.validation, config.window)
    characters = len("".join(corpus.vocabulary.decode(corpus.validation[1:])))
    if config.tokens != "characters":
        metrics = per_character(metrics, (len(corpus.validation) - 1) / characters)
    first = config.tokens.removesuffix("s")
    rule = (
        f"mean -ln p over the last 10 % of the text, {characters:,} characters without its first {first}, read in "
        f"{VALIDATION_STREAMS} contiguous streams with the state carried through each; best checkpoint by the same "
        f"figure; windows_{WINDOW}: the same characters in windows of {WINDOW}, each from a zero state"
    )
    if options.write:
        run.write_evaluation("validation", rule, time.monotonic() - started, metrics)
    return metrics


def per_character(metrics: dict[str, float], tokens: float) -> dict[str, float]:
    """Return metrics that were measured per token, per character; the perplexity stays per token.

    Args:
        metrics: as `measure` returns them.
        tokens: tokens per character.
    """
    return {name: value if name == "perplexity" else value * tokens for name, value in metrics.items()}


def measure(model: TrainableCharRNN, validation: np.ndarray, window: int) -> dict[str, float]:
    """Return nats and bits per character and perplexity with the state carried, and nats on independent windows."""
    carried = trainer.evaluate(model, contiguous_batches(validation, VALIDATION_STREAMS, window))["loss"]
    windows = trainer.evaluate(model, independent_windows(validation, VALIDATION_STREAMS, WINDOW))["loss"]
    return {
        "nats_per_char": carried,
        "bits_per_char": carried / math.log(2),
        "perplexity": math.exp(carried),
        f"windows_{WINDOW}_nats_per_char": windows,
    }
