"""A SavedModel as an output for the user: written whole, and never over anything else."""

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path

import tensorflow as tf

from common.errors import UserError
from common.io.files import read_plain, replacing, write_atomically

_NAMES = frozenset({"saved_model.pb", "fingerprint.pb", "variables", "assets", "assets.extra"})
_NOTE = Path("assets.extra", "eager_examples.json")  # where a SavedModel has room for what is not TensorFlow's


def save_model(
    module: tf.Module,
    signatures: Mapping[str, Callable],
    folder: Path,
    maker: str,
    overwrite: bool = False,
    options: tf.saved_model.SaveOptions | None = None,
) -> Path:
    """Write a SavedModel as `folder` and return it.

    Args:
        module: holds what the signatures use.
        signatures: compiled functions by name.
        folder: where; new, empty, or what was written there of the same `maker` before.
        maker: what the model comes from, for instance the identity of a run.
        overwrite: replace another SavedModel.
        options: of TensorFlow.

    Raises:
        UserError: something else is there, or it cannot be written.
    """
    _require_free(folder, maker, overwrite)
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with replacing(folder) as part:
            part.mkdir()
            tf.saved_model.save(module, os.fsencode(part), signatures, options)
            (part / _NOTE).parent.mkdir()
            write_atomically(part / _NOTE, json.dumps({"maker": maker}) + "\n")
    except (OSError, tf.errors.OpError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise UserError(f"{folder}: cannot be written ({reason}); name another folder with --out") from error
    return folder


def _require_free(folder: Path, maker: str, overwrite: bool) -> None:
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise UserError(f"{folder}: there is a file of that name; name another folder with --out")
    names = {path.name for path in folder.iterdir()}
    if others := sorted(names - _NAMES):
        raise UserError(f"{folder}: holds other files ({', '.join(others[:3])}); name a new folder with --out")
    if names and not overwrite and _maker_of(folder) != maker:
        raise UserError(
            f"{folder}: holds another SavedModel; name another folder with --out, or add --overwrite to replace it"
        )


def _maker_of(folder: Path) -> str | None:
    """Return what the SavedModel in a folder comes from, None if it is not known."""
    try:
        return json.loads(read_plain(folder / _NOTE, 1 << 16))["maker"]
    except (UserError, ValueError, LookupError, TypeError, RecursionError):
        return None
