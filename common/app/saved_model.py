"""A SavedModel as an output for the user: written atomically, without overwriting anything else."""

import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path

import tensorflow as tf

from common.errors import UserError
from common.io.files import read_plain, replacing, write_atomically

_NAMES = frozenset({"saved_model.pb", "fingerprint.pb", "variables", "assets", "assets.extra"})
_NOTE = Path("assets.extra", "eager_examples.json")  # SavedModels reserve this folder for files of other programs


class SymbolTable(tf.Module):
    """The symbols of a vocabulary inside a graph, and their ids; that of an unknown one is `size`."""

    def __init__(self, symbols: Sequence[str]):
        super().__init__()
        self.size = len(symbols)
        self.symbols = tf.Variable(symbols, trainable=False)
        ids = tf.lookup.KeyValueTensorInitializer(symbols, tf.range(self.size))
        self.ids = tf.lookup.StaticHashTable(ids, default_value=self.size)


def save_model(
    function: Callable, resources: Sequence[tf.Variable | tf.Module], folder: Path, maker: str, overwrite: bool = False
) -> Path:
    """Write a SavedModel for inference, without gradients, to `folder` and return the folder.

    Args:
        function: compiled; the only signature.
        resources: the variables and tables that the function uses.
        folder: the target: new, empty, or an earlier SavedModel of the same `maker`.
        maker: an identifier of the origin of the model, for instance the identity of a run.
        overwrite: replace another SavedModel.

    Raises:
        UserError: the folder holds something else, or is not writable.
    """
    _require_free(folder, maker, overwrite)
    module = tf.Module()
    module.resources = [*resources]  # TensorFlow saves what is an attribute of the module
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with replacing(folder) as temporary:
            temporary.mkdir()
            options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
            tf.saved_model.save(module, os.fsencode(temporary), {"serving_default": function}, options)
            (temporary / _NOTE).parent.mkdir()
            write_atomically(temporary / _NOTE, json.dumps({"maker": maker}) + "\n")
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(f"{folder}: cannot be written ({reason}); name another folder with --out") from error
    return folder


def _require_free(folder: Path, maker: str, overwrite: bool) -> None:
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise UserError(f"{folder}: a file, expected a folder; name another folder with --out")
    names = {path.name for path in folder.iterdir()}
    if others := sorted(names - _NAMES):
        raise UserError(f"{folder}: holds other files ({', '.join(others[:3])}); name a new folder with --out")
    if names and not overwrite and _maker_of(folder) != maker:
        raise UserError(
            f"{folder}: holds another SavedModel; name another folder with --out, or add --overwrite to replace it"
        )


def _maker_of(folder: Path) -> str | None:
    """Return the maker of the SavedModel in a folder, None if it is unknown."""
    try:
        return json.loads(read_plain(folder / _NOTE, 1 << 16))["maker"]
    except (UserError, ValueError, LookupError, TypeError, RecursionError):
        return None
