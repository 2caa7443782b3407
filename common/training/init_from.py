"""Initial weights that others have trained: those of another run (`--init-from RUN`), or word vectors.

A model that starts from another run has its architecture. The vocabulary may differ: the weights of a symbol that both
have are copied, and a new symbol starts at the mean of the old ones (Howard and Ruder 2018, arXiv:1801.06146).
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import keras
import numpy as np

from common.data.vocabulary import Vocabulary
from common.data.word_vectors import read_vectors
from common.errors import UserError
from common.io.terminal import echo, warn
from common.training.checkpoints import list_checkpoints, named_variables, read_best
from common.training.run_directory import RunDirectory

Options = TypeVar("Options", bound=Any)  # of `train`

WeightsOfSymbols = Mapping[str, tuple[Vocabulary, Sequence[tuple[keras.Variable, int]]]]
"""For each file of a vocabulary in the run directory: the new vocabulary, and the variables that have a row or a column
for each symbol, with that axis."""
_MIN_COVERAGE = 0.5
"""Fraction of the words with vectors below which a line on stderr asks whether the file is the right one."""
_MAX_BYTES = 1 << 32
"""Of the old run's variables; its vocabulary may be much larger than the new one."""


def inherit_settings(config: Options) -> Options:
    """Return `config` with the architecture of the run that `config.init_from` names; unchanged if it is None.

    Settings in `config.adaptable`, or None, are taken from that run; the others must be equal. A run that exists
    already is resumed, and needs the other one no more.

    Raises:
        UserError: there is no such run, it is the run itself, or a setting differs.
    """
    if config.init_from is None:
        return config
    if Path(config.init_from).resolve() == config.run_path.resolve():
        raise UserError(f"--init-from {config.init_from}: the run itself; name a new folder with --run-dir")
    if RunDirectory(config.run_path).config.is_file() and not config.fresh:
        return config
    source = RunDirectory.open(Path(config.init_from), config.EXAMPLE).read_config()
    # a setting that was left to the data stands with the data
    chosen_by_data = {name: source.data.get(name) for name in config.INHERITED if source.settings.get(name) is None}
    settings = config.from_settings(source.settings | chosen_by_data)
    inherited = {name: getattr(settings, name) for name in config.INHERITED}
    for name, value in inherited.items():
        if name not in config.adaptable and getattr(config, name) not in (value, None):
            raise UserError(
                f"--{name.replace('_', '-')}: expected {value}, which {config.init_from} has, got "
                f"{getattr(config, name)}; leave the flag out"
            )
    adaptable = tuple(name for name in config.adaptable if name not in inherited)
    return replace(config, adaptable=adaptable, **inherited)


def init_from_run(
    model: keras.Model,
    config: Options,
    run: RunDirectory,
    vocabularies: WeightsOfSymbols | None = None,
) -> None:
    """Assign to `model` the best weights of the run `config.init_from`, unless it is None or `run` has a checkpoint.

    All trainable weights of the built model are assigned, and of the other variables, such as the statistics of batch
    norms, those that fit; but not the states of random generators. `vocabularies` are those of the new model.

    Raises:
        UserError: the old run has no checkpoint, or its weights do not fit.
    """
    if config.init_from is None or list_checkpoints(run.checkpoints, "latest"):
        return
    source = RunDirectory.open(Path(config.init_from), config.EXAMPLE)
    variables = named_variables(model)
    _, old, state = read_best(source.checkpoints, _MAX_BYTES)
    axes: dict[int, tuple[int, np.ndarray]] = {}
    for file, (vocabulary, of_symbols) in (vocabularies or {}).items():
        ids = _old_ids(Vocabulary.load(source.path / file), vocabulary, file.removesuffix(".json"))
        axes |= {id(variable.value): (axis, ids) for variable, axis in of_symbols}
    required = {id(variable.value) for variable in model.trainable_variables}
    for name, variable in variables.items():
        if variable.dtype != "float32":  # counters, and the states of random generators
            continue
        values = old.get(f"model/{name}")
        if values is not None and id(variable) in axes:
            axis, ids = axes[id(variable)]
            extended = np.concatenate([values, values.mean(axis=axis, keepdims=True)], axis=axis)
            values = np.take(extended, ids, axis=axis)  # of a new symbol, -1: the last, the mean
        fits = values is not None and values.shape == tuple(variable.shape)
        if not fits and id(variable) in required:
            there = "missing" if values is None else list(values.shape)
            raise UserError(
                f"--init-from {config.init_from}: {name} is {there} there, {[*variable.shape]} here; use a run of the "
                "same architecture, trained by this version of the code"
            )
        if fits:
            variable.assign(values)
    echo(f"initialised with the weights of {config.init_from} after epoch {state['epoch']}")


def init_from_vectors(
    embedding: keras.layers.Embedding, file: str | None, run: RunDirectory, words: Sequence[str], what: str
) -> None:
    """Start the rows of `embedding` at the vectors in a file, where it has one, and print how many words it covers.

    Row v belongs to `words[v]`, as in ordinary text. Nothing is done if `file` is None, or if `run` has a checkpoint.
    The message calls the words `what`, for instance "source words".

    Raises:
        UserError: as `read_vectors`.
    """
    if file is None or list_checkpoints(run.checkpoints, "latest"):
        return
    vectors, found = read_vectors(Path(file), words, embedding.output_dim)
    embedding.embeddings.assign(np.where(found[:, None], vectors, np.array(embedding.embeddings)))
    coverage = f"{file}: has vectors of {found.sum():,} of {len(words):,} {what} ({found.mean():.0%})"
    if found.mean() < _MIN_COVERAGE:
        warn(f"warning: {coverage}; is it of this language, and are the tokens words?")
    else:
        echo(coverage)


def _old_ids(old: Vocabulary, new: Vocabulary, name: str) -> np.ndarray:
    """Return the old id of each new symbol, -1 if it has none, int [V]; and say how many were kept."""
    ids = old.encode(new.symbols, unknown=-1)
    added = [symbol for symbol, number in zip(new.symbols, ids, strict=True) if number < 0]
    kept = len(new) - len(added)
    listed = f" ({' '.join(map(repr, added[:10]))}{' ...' if len(added) > 10 else ''})" if added else ""
    echo(f"{name}: {kept:,} symbols kept, {len(added):,} new{listed}, {len(old) - kept:,} dropped")
    return ids
