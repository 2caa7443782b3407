r"""Step 5, continued: measure the trained model on the validation text.

The measure of a language model is its mean negative log-likelihood (nll) on text that it was not trained on: **nats
per character**, the mean of $-\ln p$, or **bits per character**, the same divided by $\ln 2$. Every validation
character counts once. A prediction may use all of its stream before it, so the state is carried through. Others measure
on windows that each start from a zero state, which gives a slightly higher number, so that number is given as well.
"""

import math
import time

import numpy as np

from common.data.pieces import PieceVocabulary
from common.errors import UserError
from common.io.terminal import warn
from common.training import trainer
from common.training.checkpoints import restore_weights
from common.training.run_directory import RunDirectory
from examples.text_generation.config import Config, EvaluateOptions
from examples.text_generation.data import (
    VALIDATION_STREAMS,
    contiguous_batches,
    independent_windows,
    load_corpus,
    load_text,
)
from examples.text_generation.demo import build_model
from examples.text_generation.model import TrainableCharRNN

WINDOW = 256  # tokens of context at most in the second rule, as others report it


def evaluate(options: EvaluateOptions, model_class: type[TrainableCharRNN] = TrainableCharRNN) -> dict[str, float]:
    """Measure the best checkpoint of a run on all validation characters and return the metrics.

    Raises:
        UserError: no checkpoint, or the data is not what the model was trained on.
    """
    started = time.monotonic()
    run = RunDirectory.open(options.run, Config.EXAMPLE)
    config = Config.from_settings(run.read_config().settings)
    trainer.set_seed_and_precision(config.seed, config.precision)
    vocabulary = PieceVocabulary.load(run.vocabulary)
    if options.test_data is None:
        data = run.data_to_use(options.data, Config.DATA_SETS)
        corpus = load_corpus(data, config.window, **config.corpus(), data_dir=options.data_dir)
        run.require_training_data(corpus.fingerprint, data)
        ids, part = corpus.validation, "the last 10 % of the text"
    else:
        ids, left_out = test_ids(options, options.for_test_data(config), vocabulary)
        part = "the whole text" + f" without {left_out:,} characters that the model does not know" * (left_out > 0)
    model = build_model(config, len(vocabulary), model_class)
    restore_weights(run.checkpoints, model)
    text = "".join(vocabulary.decode(ids[1:]))
    characters = len(text)
    carried = trainer.evaluate(model, contiguous_batches(ids, VALIDATION_STREAMS, config.window))["loss"]
    windows = trainer.evaluate(model, independent_windows(ids, VALIDATION_STREAMS, WINDOW))["loss"]
    tokens_per_char = (len(ids) - 1) / characters
    metrics = {
        "nats_per_char": carried * tokens_per_char,
        "bits_per_char": carried / math.log(2) * tokens_per_char,
        "perplexity": math.exp(carried),
        f"windows_{WINDOW}_nats_per_char": windows * tokens_per_char,
        "bits_per_byte": carried / math.log(2) * (len(ids) - 1) / len(text.encode()),
    }
    first = config.tokens.removesuffix("s")
    rule = (
        f"mean -ln p over {part}, {characters:,} characters without its first {first}, read in "
        f"{VALIDATION_STREAMS} contiguous streams with the state carried through each; best checkpoint by the "
        f"loss on the validation text; windows_{WINDOW}: the same characters in windows of {WINDOW}, each from a zero "
        "state"
    )
    if options.write:
        run.write_evaluation("validation", rule, time.monotonic() - started, metrics, options.test_data)
    return metrics


def test_ids(options: EvaluateOptions, config: Config, vocabulary: PieceVocabulary) -> tuple[np.ndarray, int]:
    """Return the ids of a text of the user, int32 [tokens], and how many characters the model does not know.

    Those are left out.

    Raises:
        UserError: the text cannot be read, or the model knows none of it.
    """
    text = load_text(options.test_data, options.data_dir, config.encoding, only_test=True)
    known = {*vocabulary.symbols}
    unknown = sorted({*text} - known)
    left_out = sum(character not in known for character in text)
    if unknown:
        warn(
            f"note: {left_out:,} of {len(text):,} characters are left out, which the model does not know: "
            f"{' '.join(map(repr, unknown[:20]))}{' ...' if len(unknown) > 20 else ''}"
        )
        text = "".join(character for character in text if character in known)
    ids = vocabulary.encode(text)
    if len(ids) < 2:
        raise UserError(
            f"--test-data {options.test_data}: expected two {config.tokens} that the model knows, got fewer"
        )
    return ids, left_out
