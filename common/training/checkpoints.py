"""Verified checkpoints for exact resume, with an older one as fallback.

A checkpoint is one folder of `checkpoints/` in the run directory: `latest-00000550/` or `best-00000440/`, where the
number is the step, or `epoch-00000005/`, where it is the epoch. All variables are in `variables.safetensors`. Their
sha256 is in `state.json`; so are the counters and the history of `trainer.TrainingState` in a `latest` folder, the
epoch and its value in a `best` folder. A folder is written under a temporary name, flushed to disk and renamed, so a
folder with the final name is complete. The names alone determine the newest checkpoint, so there is no index file that
could be damaged.

`tf.train.Checkpoint` is not used. It reads `[`, `]`, `*`, `?` and a backslash in the path of a run as a pattern, and a
crafted file can end the process.
"""

import hashlib
import itertools
import json
import re
import shutil
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from common.errors import UserError
from common.io.files import delete, delete_atomically, read_plain, replacing, write_atomically
from common.io.records import Json, Sha256, checked
from common.io.tensors import tensor_bytes, tensors_from
from common.io.terminal import warn

_KEEP = 2  # so that one damaged checkpoint costs minutes, not the run
_MAX_STATE_BYTES = 1 << 26
_VARIABLES, _STATE = "variables.safetensors", "state.json"


class DamagedError(ValueError):
    """The bytes of a checkpoint do not match its digests."""


@dataclass(frozen=True)
class _Payload:
    """The part of `state.json` that its checksum covers."""

    variables: Sha256
    state: Json


def named_variables(model: keras.Model) -> dict[str, tf.Variable]:
    """Return every variable of a built model by a name that is the same in every process.

    `model.variables` is complete: it includes layers in lists and the random state of dropout layers. But its paths
    number layers by their count in the process (gru_2). Here they are numbered within the model, in its own order.

    Raises:
        ValueError: the model is not built, so some variables do not exist yet; or two variables have the same path.
    """
    if not model.built:
        raise ValueError(f"{model.name} must be built (call it once) before its variables can be saved or restored")
    siblings: dict[tuple[str, ...], dict[str, str]] = {}  # for each layer, the old and new names of its parts
    named: dict[str, tf.Variable] = {}
    for variable in model.variables:
        path: tuple[str, ...] = ()
        for part in variable.path.removeprefix(f"{model.name}/").split("/"):
            names = siblings.setdefault(path, {})
            names.setdefault(part, _number(re.sub(r"_\d+$", "", part), names.values()))
            path = (*path, names[part])
        named["/".join(path)] = variable.value
    if len(named) != len(model.variables):
        raise ValueError(f"{model.name} has variables of the same path; give its layers and weights different names")
    return named


def _number(name: str, taken: Collection[str]) -> str:
    return next(unique for count in itertools.count() if (unique := f"{name}_{count}" if count else name) not in taken)


def training_variables(model: keras.Model) -> dict[str, Any]:
    """Return the variables of the model and of its optimizers: all variables that an exact resume needs.

    Args:
        model: built and compiled. Every optimizer among its attributes is included. A single optimizer is built here if
            necessary, because variables that are created after a restore would keep their initial values.

    Raises:
        ValueError: one of several optimizers is not built; only the model knows the variables of each.
    """
    optimizers = {name: value for name, value in vars(model).items() if isinstance(value, keras.optimizers.Optimizer)}
    if len(optimizers) == 1:
        model.optimizer.build(model.trainable_variables)
    for name, optimizer in optimizers.items():
        if not optimizer.built:
            raise ValueError(f"{model.name}.{name} must be built on its variables before it can be saved or restored")
    return {"model": named_variables(model)} | {
        name: [variable.value for variable in optimizer.variables] for name, optimizer in optimizers.items()
    }


def local_value(variable: tf.Variable) -> np.ndarray:
    """Return the value of a variable, on the first device of this process if there are several.

    A bfloat16 becomes a float32, which holds it exactly: neither NumPy nor safetensors' form for NumPy has bfloat16.
    """
    value = variable.values[0].numpy() if hasattr(variable, "values") else variable.numpy()
    return value.astype(stored_dtype(variable))


def stored_dtype(variable: tf.Variable) -> str:
    """Return the dtype of a variable in a checkpoint."""
    return "float32" if variable.dtype == tf.bfloat16 else variable.dtype.name


class KeepEpochs(keras.callbacks.Callback):
    """Keeps the weights after every so many epochs, for `restore_weights`, beside the other checkpoints."""

    def __init__(self, folder: Path, every: int):
        super().__init__()
        self.folder, self.every = folder, every

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        """Save the weights after an epoch, which Keras counts from 0."""
        if (epoch + 1) % self.every == 0:
            checkpoints = Checkpoints(self.folder, model=named_variables(self.model))
            checkpoints.save("epoch", epoch + 1, {"epoch": epoch + 1}, keep=epoch + 1)


class Checkpoints:
    """The checkpoints in one folder: the last two `latest` ones, the `best` one, and those of `KeepEpochs`."""

    def __init__(self, folder: Path, **parts: Mapping[str, tf.Variable] | Sequence[tf.Variable]):
        """Prepare to save and restore the variables in `parts`, for instance `training_variables(model)`.

        A part is variables by name, or a list, such as those of an optimizer, which a checkpoint must hold completely.
        """
        self.folder = Path(folder)
        self._numbered = [part for part, variables in parts.items() if not isinstance(variables, Mapping)]
        self.variables = {
            f"{part}/{name}": variable
            for part, variables in parts.items()
            for name, variable in (variables.items() if isinstance(variables, Mapping) else enumerate(variables))
        }

    def save(self, kind: str, step: int, state: dict[str, Any], keep: int = _KEEP) -> Path:
        """Write a checkpoint, and delete all but the newest `keep` of its kind.

        Args:
            kind: "latest", "best" or "epoch".
            step: the number of training steps so far, for "epoch" of epochs; a checkpoint of this kind and step is
                replaced.
            state: further state, as JSON values.
            keep: the number of checkpoints of this kind that remain.

        Raises:
            UserError: the disk is full or not writable; earlier checkpoints are unchanged.
        """
        final = self.folder / f"{kind}-{step:08d}"
        try:
            with replacing(final) as folder:
                folder.mkdir(parents=True)
                self._write(folder, state)
        except OSError as error:
            free = shutil.disk_usage(self.folder).free / 2**20 if self.folder.exists() else 0
            raise UserError(
                f"{final}: cannot save the checkpoint ({error.strerror or error}; {free:.0f} MB free); earlier ones "
                "are intact: free some space and give the same command again"
            ) from error
        for old in list_checkpoints(self.folder, kind)[keep:]:
            delete_atomically(old)
        return final

    def restore(self, kind: str, quarantine: bool = False) -> dict[str, Any] | None:
        """Restore the newest checkpoint that verifies, "latest" or "best" by `kind`; return its state.

        A checkpoint is skipped, with a warning, only if its bytes do not match its digests. Any other failure to read
        it (permissions, a disk error, memory) is an error, and changes nothing. No variable is assigned before every
        byte of the checkpoint and the shape of every variable are checked.

        Args:
            kind: "latest" or "best".
            quarantine: rename damaged checkpoints to `damaged-...`; only for the process that trains here.

        Returns:
            The `state` given to `save`; None if there is no checkpoint.

        Raises:
            UserError: there are checkpoints, but none is readable; or the newest does not fit the model.
        """
        found = _read_newest(self.folder, (kind,), self._max_bytes(), quarantine)
        return found and self._assign(*found)

    def _max_bytes(self) -> int:
        """Return an upper bound for the size of a file of variables, those of the optimizers included."""
        needed = sum(variable.dtype.size * variable.shape.num_elements() for variable in self.variables.values())
        return 8 * needed + (1 << 24)

    def _assign(self, checkpoint: Path, tensors: Mapping[str, np.ndarray], state: dict[str, Any]) -> dict[str, Any]:
        """Assign the tensors of a checkpoint to the variables; return its `state`."""
        if difference := self._difference(tensors):
            raise UserError(
                f"{checkpoint}: written by another version of the model ({difference}); use the code and the "
                "vocabulary that trained it, or train again with --fresh"
            )
        for name, variable in self.variables.items():
            variable.assign(tf.cast(tensors[name], variable.dtype))
        return state

    def _difference(self, tensors: Mapping[str, np.ndarray]) -> str:
        """Return a description of the first variable whose dtype or shape differs, "" if there is none."""
        here = {name: _kind(stored_dtype(variable), variable.shape) for name, variable in self.variables.items()}
        there = {name: _kind(values.dtype.name, values.shape) for name, values in tensors.items()}
        surplus = [name for name in there.keys() - here.keys() if name.partition("/")[0] in self._numbered]
        for name in [*here, *sorted(surplus)]:
            if here.get(name) != there.get(name):
                return f"{name}: {there.get(name, 'missing')} there, {here.get(name, 'missing')} here"
        return ""

    def _write(self, folder: Path, state: dict[str, Any]) -> None:
        content = tensor_bytes({name: local_value(variable) for name, variable in self.variables.items()})
        write_atomically(folder / _VARIABLES, content)
        payload = json.dumps({"variables": hashlib.sha256(content).hexdigest(), "state": state})
        checksum = hashlib.sha256(payload.encode()).hexdigest()
        write_atomically(folder / _STATE, json.dumps({"checksum": checksum, "payload": payload}))


def _kind(dtype: str, shape: Sequence[int]) -> str:
    return f"{dtype} {[*shape]}"


def restore_weights(folder: Path, model: keras.Model, epoch: int | None = None) -> dict[str, Any]:
    """Restore the best weights into a built model, or the latest if there are no best ones; return the state.

    With `epoch`, restore those after this epoch, which `KeepEpochs` has kept.

    Raises:
        UserError: there is no checkpoint, or none is readable.
    """
    checkpoints = Checkpoints(folder, model=named_variables(model))
    if epoch is None:
        return checkpoints._assign(*read_best(folder, checkpoints._max_bytes()))
    kept = {int(path.name.rpartition("-")[2]): path for path in list_checkpoints(folder, "epoch")}
    if epoch not in kept:
        listed = ", ".join(map(str, sorted(kept))) or "none"
        raise UserError(f"--epoch: expected one that was kept ({listed}), got {epoch}; --keep-every keeps more")
    try:
        return checkpoints._assign(kept[epoch], *read_checkpoint(kept[epoch], checkpoints._max_bytes()))
    except DamagedError as error:
        raise UserError(f"{kept[epoch]}: damaged ({error}); restore it from a copy, or use another") from error


def read_best(folder: Path, max_bytes: int) -> tuple[Path, dict[str, np.ndarray], dict[str, Any]]:
    """Return the checkpoint that `restore_weights` restores, its variables, of at most `max_bytes`, and its state.

    Raises:
        UserError: there is no checkpoint, or none is readable.
    """
    found = _read_newest(folder, ("best", "latest"), max_bytes)
    if found is None:
        raise UserError(f"{folder}: no checkpoint yet; run the `train` command of this run again, it resumes there")
    return found


def _read_newest(
    folder: Path, kinds: Sequence[str], max_bytes: int, quarantine: bool = False
) -> tuple[Path, dict[str, np.ndarray], dict[str, Any]] | None:
    """Return the newest checkpoint that verifies, its variables and its state, as `Checkpoints.restore` chooses it."""
    damaged: set[Path] = set()
    while candidates := [path for kind in kinds for path in list_checkpoints(folder, kind) if path not in damaged]:
        newest = candidates[0]
        try:
            return newest, *read_checkpoint(newest, max_bytes)
        except DamagedError as error:
            damaged.add(newest)
            _report_damage(newest, error, quarantine)
        except UserError:
            if newest.exists():  # else a running training has replaced it by a newer one
                raise
    if damaged or any(next(folder.glob(f"damaged-{kind}-*"), None) for kind in kinds):
        raise UserError(
            f"{folder}: no {' or '.join(kinds)} checkpoint there is intact; restore one from a copy, or train "
            "this run again with --fresh (the old run is moved aside, not deleted)"
        )
    return None


def list_checkpoints(folder: Path, kind: str) -> list[Path]:
    """Return the checkpoints of a kind, the newest first, by the step in their names, as clocks may be wrong."""
    return sorted(folder.glob(f"{kind}-" + "[0-9]" * 8), reverse=True)


def read_checkpoint(checkpoint: Path, max_bytes: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the variables, of at most `max_bytes`, and the state in a checkpoint, after a check of every byte.

    Raises:
        DamagedError: the content does not match its digests.
        UserError: a file is missing, too large or unreadable; or another version of this code wrote it.
    """
    payload = _verified_payload(read_plain(checkpoint / _STATE, _MAX_STATE_BYTES))
    entry = checked(_Payload, payload, checkpoint / _STATE)
    path = checkpoint / _VARIABLES
    content = read_plain(path, max_bytes)
    if (got := hashlib.sha256(content).hexdigest()) != entry.variables:
        raise DamagedError(f"{_VARIABLES}: expected sha256 {entry.variables[:12]}..., got {got[:12]}...")
    return tensors_from(content, path), entry.state


def _verified_payload(content: bytes) -> Any:
    """Return the payload of a `state.json`; raise DamagedError if it does not match its checksum."""
    try:
        entry = json.loads(content)
        if hashlib.sha256(entry["payload"].encode()).hexdigest() == entry["checksum"]:
            return json.loads(entry["payload"])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    raise DamagedError(f"{_STATE} does not match its checksum")


def _report_damage(checkpoint: Path, error: DamagedError, quarantine: bool) -> None:
    note = ""
    if quarantine:
        target = checkpoint.with_name(f"damaged-{checkpoint.name}")
        delete(target)
        checkpoint.rename(target)
        note = f"; kept as {target.name}"
    warn(f"warning: {checkpoint}: damaged ({error}){note}; trying the previous checkpoint")
