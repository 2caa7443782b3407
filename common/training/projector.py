"""Embeddings for the projector of TensorBoard, which shows them in three dimensions with their nearest neighbours."""

import io
from collections.abc import Mapping, Sequence

import numpy as np

from common.io.files import write_atomically
from common.io.terminal import one_line
from common.training.run_directory import RunDirectory

MAX_SYMBOLS = 5000
"""The first of a vocabulary; TensorBoard reads all of them into the browser."""


def write_projector(run: RunDirectory, embeddings: Mapping[str, tuple[Sequence[str], np.ndarray]]) -> None:
    """Write embeddings by name, symbols and vectors float [V, E] of each, beside the TensorBoard log of a run."""
    entries = []
    for name, (symbols, vectors) in embeddings.items():
        table = io.StringIO()
        np.savetxt(table, vectors[:MAX_SYMBOLS], "%.4g", delimiter="\t")
        labels = [_label(symbol) for symbol in symbols[:MAX_SYMBOLS]]
        files = {"tensor_path": f"{name}_vectors.tsv", "metadata_path": f"{name}_symbols.tsv"}
        write_atomically(run.tensorboard / files["tensor_path"], table.getvalue())
        write_atomically(run.tensorboard / files["metadata_path"], "\n".join(labels) + "\n")
        fields = {"tensor_name": name} | files
        entries.append("embeddings {" + "".join(f' {key}: "{value}"' for key, value in fields.items()) + " }\n")
    write_atomically(run.tensorboard / "projector_config.pbtxt", "".join(entries))


def _label(symbol: str) -> str:
    """Return a symbol as a line that can be seen."""
    return repr(symbol) if symbol.isspace() else one_line(symbol.replace("\t", " "))
