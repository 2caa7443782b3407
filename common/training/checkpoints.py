"""Checkpoints that can be trusted: verified before use, with an older one to fall back on, complete for exact resume.

A checkpoint is one folder, `latest-00000550/` or `best-00000440/` (the number is the step). It holds all variables in
`variables.safetensors`, and in `state.json` counters, history, and the sha256 of the variables. It is written under a
temporary name, flushed to disk, and renamed: under its final name it is complete, or it is not there. Which one is the
newest is told by the names alone, so there is no index file that could be damaged.

`tf.train.Checkpoint` is not used: it takes `[`, `]`, `*`, `?` and a backslash in the path of a run for a pattern, and a
file that was made for it can end the process.
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
from common.io.files import delete, delete_whole, is_part, read_plain, replacing, write_atomically
from common.io.records import Json, Sha256, checked
from common.io.tensors import tensor_bytes, tensors_from
from common.io.terminal import warn

_KEEP = 2  # so that one damaged checkpoint costs minutes, not the run
_MAX_STATE_BYTES = 1 << 26
_VARIABLES, _STATE = "variables.safetensors", "state.json"


class DamagedError(ValueError):
    """The bytes of a checkpoint contradict its own digests."""


@dataclass(frozen=True)
class _Sealed:
    """What `state.json` holds under its seal."""

    variables: Sha256
    state: Json


def named_variables(model: keras.Model) -> dict[str, tf.Variable]:
    """Return every variable of a built model under a name that is the same in every process.

    `model.variables` has all of them, layers kept in a list and the random state of dropout layers included, but its
    names number layers by how many were made before in the process (gru_2); here they are numbered within the model, in
    the order in which it lists them.

    Raises:
        ValueError: the model is not built, so that some of its variables do not exist yet.
    """
    if not model.built:
        raise ValueError(f"{model.name} must be built (call it once) before its variables can be saved or restored")
    siblings: dict[tuple[str, ...], dict[str, str]] = {}  # for each layer, its parts' names and new names
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


def training_state(model: keras.Model) -> dict[str, Any]:
    """Return all that a checkpoint must hold so that training resumes to the bit: variables and optimizers.

    Args:
        model: built and compiled. Every optimizer among its attributes is included. An only one is built here if it is
            not yet, because variables that are created after a restore would keep their initial values.

    Raises:
        ValueError: one of several optimizers is not built; only the model knows which variables each is for.
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


class Checkpoints:
    """The checkpoints in one folder: `latest`, of which two are kept, and `best`."""

    def __init__(self, folder: Path, **parts: Mapping[str, tf.Variable] | Sequence[tf.Variable]):
        """Save to and restore from `folder` the variables in `parts`, for instance `training_state(model)`.

        Args:
            folder: where.
            parts: variables by name; or numbered, as those of an optimizer, and then none may be missing or too many.
        """
        self.folder = Path(folder)
        self._numbered = [part for part, variables in parts.items() if not isinstance(variables, Mapping)]
        self._variables = {
            f"{part}/{name}": variable
            for part, variables in parts.items()
            for name, variable in (variables.items() if isinstance(variables, Mapping) else enumerate(variables))
        }

    def sweep(self) -> None:
        """Delete what killed saves left behind; for the one process that trains in this folder."""
        for leftover in filter(is_part, self.folder.iterdir() if self.folder.is_dir() else ()):
            delete(leftover)

    def save(self, kind: str, step: int, state: dict[str, Any], keep: int = _KEEP) -> Path:
        """Write a checkpoint and delete all but the newest `keep` of its kind.

        Args:
            kind: "latest" or "best".
            step: number of training steps done; a checkpoint of that kind and step is replaced.
            state: what else to save, as JSON values.

        Raises:
            UserError: the disk is full or cannot be written; what was saved before is untouched.
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
        for old in find(self.folder, kind)[keep:]:
            delete_whole(old)
        return final

    def restore(self, *kinds: str, set_aside: bool = False) -> dict[str, Any] | None:
        """Restore the newest checkpoint that verifies, of the first kind that has one; return its state.

        One is passed over, with a warning, only if its bytes contradict its own digests. Whatever else keeps it from
        being read (permissions, a disk that answers with an error, memory) is an error, and changes nothing. No
        variable is assigned before every byte of a checkpoint, and the shape of every variable, has been checked.

        Args:
            kinds: "latest", "best", or both in the order of preference.
            set_aside: rename damaged ones `damaged-...`, out of the way; for the one process that trains here.

        Returns:
            What `save` was given, None if there is no checkpoint at all.

        Raises:
            UserError: there are checkpoints, and none of them can be read; or the newest does not fit the model.
        """
        damaged: set[Path] = set()
        while candidates := [path for kind in kinds for path in find(self.folder, kind) if path not in damaged]:
            newest = candidates[0]
            try:
                tensors, state = read_checkpoint(newest, self._max_bytes())
            except DamagedError as error:
                damaged.add(newest)
                _report_damage(newest, error, set_aside)
            except UserError:
                if newest.exists():  # or else the training that goes on has put a newer one in its place
                    raise
            else:
                self._assign(tensors, newest)
                return state
        if damaged or any(next(self.folder.glob(f"damaged-{kind}-*"), None) for kind in kinds):
            raise UserError(
                f"{self.folder}: no {' or '.join(kinds)} checkpoint there is intact; restore one from a copy, or "
                "start again with --fresh (the old run is moved aside, not deleted)"
            )
        return None

    def _max_bytes(self) -> int:
        """Return the most that a file of variables may have: the optimizers of this model included, and to spare."""
        needed = sum(variable.dtype.size * variable.shape.num_elements() for variable in self._variables.values())
        return 8 * needed + (1 << 24)

    def _assign(self, tensors: Mapping[str, np.ndarray], checkpoint: Path) -> None:
        if difference := self._difference(tensors):
            raise UserError(
                f"{checkpoint}: written by another version of the model ({difference}); use the code and the "
                "vocabulary that trained it, or train again with --fresh"
            )
        for name, variable in self._variables.items():
            variable.assign(tensors[name])

    def _difference(self, tensors: Mapping[str, np.ndarray]) -> str:
        """Return the first variable that is not in a checkpoint as it is here, "" if there is none."""
        here = {name: _kind(variable.dtype.name, variable.shape) for name, variable in self._variables.items()}
        there = {name: _kind(values.dtype.name, values.shape) for name, values in tensors.items()}
        beyond = [name for name in there.keys() - here.keys() if name.partition("/")[0] in self._numbered]
        for name in [*here, *sorted(beyond)]:
            if here.get(name) != there.get(name):
                return f"{name}: {there.get(name, 'missing')} there, {here.get(name, 'missing')} here"
        return ""

    def _write(self, folder: Path, state: dict[str, Any]) -> None:
        content = tensor_bytes({name: variable.numpy() for name, variable in self._variables.items()})
        write_atomically(folder / _VARIABLES, content)
        sealed = json.dumps({"variables": hashlib.sha256(content).hexdigest(), "state": state})
        seal = hashlib.sha256(sealed.encode()).hexdigest()
        write_atomically(folder / _STATE, json.dumps({"seal": seal, "sealed": sealed}))


def _kind(dtype: str, shape: Sequence[int]) -> str:
    return f"{dtype} {[*shape]}"


def restore_weights(folder: Path, model: keras.Model) -> dict[str, Any]:
    """Restore the best weights into a built model, the latest ones if there is no best yet; return the state.

    Raises:
        UserError: no checkpoint, or none that can be read.
    """
    state = Checkpoints(folder, model=named_variables(model)).restore("best", "latest")
    if state is None:
        raise UserError(f"{folder}: no checkpoint yet; give the `train` command that made this run, it resumes itself")
    return state


def find(folder: Path, kind: str) -> list[Path]:
    """Return the checkpoints of a kind, the newest first, by the step in their names (clocks may jump)."""
    return sorted(folder.glob(f"{kind}-" + "[0-9]" * 8), reverse=True)


def read_checkpoint(checkpoint: Path, max_bytes: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """Return the variables and the state in a checkpoint after checking every byte of it.

    Args:
        checkpoint: the folder.
        max_bytes: the most that its variables may take.

    Raises:
        DamagedError: the content contradicts its own digests.
        UserError: a file is missing, too large or cannot be read; or it is intact, but of another version of this code.
    """
    sealed = _unseal(read_plain(checkpoint / _STATE, _MAX_STATE_BYTES))
    entry = checked(_Sealed, sealed, checkpoint / _STATE)
    path = checkpoint / _VARIABLES
    content = read_plain(path, max_bytes)
    if (got := hashlib.sha256(content).hexdigest()) != entry.variables:
        raise DamagedError(f"{_VARIABLES}: expected sha256 {entry.variables[:12]}..., got {got[:12]}...")
    return tensors_from(content, path), entry.state


def _unseal(content: bytes) -> Any:
    """Return what stands under the seal of a `state.json`."""
    try:
        entry = json.loads(content)
        if hashlib.sha256(entry["sealed"].encode()).hexdigest() == entry["seal"]:
            return json.loads(entry["sealed"])
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        pass
    raise DamagedError(f"{_STATE} is not what was written")


def _report_damage(checkpoint: Path, error: DamagedError, set_aside: bool) -> None:
    kept = ""
    if set_aside:
        aside = checkpoint.with_name(f"damaged-{checkpoint.name}")
        delete(aside)
        checkpoint.rename(aside)
        kept = f"; kept as {aside.name}"
    warn(f"warning: {checkpoint}: damaged ({error}){kept}; looking for an older one")
