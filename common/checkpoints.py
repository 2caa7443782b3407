"""Checkpoints that can be trusted: verified before use, with an older one to fall back on, complete for exact resume.

A checkpoint is one folder, `latest-00000550/` or `best-00000440/` (the number is the step), that holds what
`tf.train.Checkpoint` writes and `state.json`: counters, history, and the sha256 of every file beside it. It is written
under a temporary name, flushed to disk, and renamed: under its final name it is complete or it is not there. Which one
is the newest is told by the names alone, so there is no index file that could be damaged.
"""

import contextlib
import hashlib
import itertools
import json
import os
import re
import shutil
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from common.errors import UserError

DAMAGED = (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)  # what `verify` raises
_KEEP = 2  # so that one damaged checkpoint costs minutes, not the run


def named_variables(model: keras.Model) -> dict[str, tf.Variable]:
    """Return every variable of a built model under a name that is the same in every process.

    `tf.train.Checkpoint(model)` is not enough with Keras 3: without a word it passes over layers that are kept in a
    list, and over the random state of dropout layers, so that a restored model has untrained parts and a resumed run
    repeats its dropout masks. `model.variables` has them all, but its names number layers by how many were made before
    in the process (gru_2); here they are numbered within the model, in the order in which it lists them.

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
    """Return all that `tf.train.Checkpoint` must hold so that training resumes to the bit: variables and optimizers.

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

    def __init__(self, folder: Path, **trackables: Any):
        """Save to and restore from `folder` the variables in `trackables`, for instance `training_state(model)`."""
        self.folder = Path(folder)
        self._checkpoint = tf.train.Checkpoint(**trackables)
        self._trackables = trackables

    def sweep(self) -> None:
        """Delete what killed saves left behind; for the one process that trains in this folder."""
        for leftover in self.folder.glob("*.tmp"):
            shutil.rmtree(leftover, ignore_errors=True)

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
        temporary = final.with_name(f"{final.name}.{os.getpid()}.tmp")
        try:
            self._write(temporary, state)
            if final.exists():
                _delete(final)
            os.rename(temporary, final)
            _flush(self.folder)
        except (OSError, tf.errors.OpError) as error:
            shutil.rmtree(temporary, ignore_errors=True)
            free = shutil.disk_usage(self.folder).free / 2**20 if self.folder.exists() else 0
            raise UserError(
                f"{final}: cannot save the checkpoint ({str(error).splitlines()[0]}; {free:.0f} MB free); earlier ones "
                "are intact: free some space and give the same command again"
            ) from error
        for old in find(self.folder, kind)[keep:]:
            _delete(old)
        return final

    def restore(self, *kinds: str) -> dict[str, Any] | None:
        """Restore the newest checkpoint that verifies, of the first kind that has one; return its state.

        Damaged ones are named on stderr and renamed `damaged-...`, out of the way and out of the sweep. Nothing is
        assigned to any variable before every byte of a checkpoint, and the shape of every variable, has been checked.

        Returns:
            What `save` was given, None if there is no checkpoint at all.

        Raises:
            UserError: there are checkpoints, and none of them can be read; or the newest does not fit the model.
        """
        damaged: set[Path] = set()
        while candidates := [path for kind in kinds for path in find(self.folder, kind) if path not in damaged]:
            newest = candidates[0]
            try:
                state = verify(newest)
                self._read(newest)
                return state
            except (*DAMAGED, tf.errors.OpError) as error:
                if newest.exists():  # or else the training that goes on has put a newer one in its place
                    damaged.add(newest)
                    _set_aside(newest, error)
        if damaged or any(next(self.folder.glob(f"damaged-{kind}-*"), None) for kind in kinds):
            raise UserError(
                f"{self.folder}: no {' or '.join(kinds)} checkpoint there can be read; restore one from a copy, or "
                "start again with --fresh (the old run is moved aside, not deleted)"
            )
        return None

    def _read(self, checkpoint: Path) -> None:
        path = str(checkpoint / "variables")
        if difference := self._difference(path):
            raise UserError(
                f"{checkpoint}: written by another version of the model ({difference}); use the code and the "
                "vocabulary that trained it, or train again with --fresh"
            )
        status = self._checkpoint.read(path)
        status.assert_existing_objects_matched()
        status.expect_partial()  # to use a model takes less than to train it: no optimizer, for instance

    def _difference(self, path: str) -> str:
        """Return the first variable that is not in a checkpoint as it is here, "" if there is none.

        TensorFlow would pass over a name that is missing, and call one of another shape "Variable:0".
        """
        saved = dict(tf.train.list_variables(path))
        here: dict[str, list[int] | None] = {}
        for part, variables in self._trackables.items():
            is_numbered = isinstance(variables, list)  # as of optimizers: their places must all mean the same
            for name, variable in enumerate(variables) if is_numbered else variables.items():
                escaped = str(name).replace(".", "..").replace("/", ".S")
                here[f"{part}/{escaped}/.ATTRIBUTES/VARIABLE_VALUE"] = variable.shape.as_list()
            if is_numbered:
                here |= {key: here.get(key) for key in saved if key.startswith(f"{part}/")}
        for key, shape in here.items():
            if saved.get(key) != shape:
                name = key.removesuffix("/.ATTRIBUTES/VARIABLE_VALUE").replace(".S", "/")
                return f"{name}: shape {saved.get(key, 'missing')} there, {'missing' if shape is None else shape} here"
        return ""

    def _write(self, folder: Path, state: dict[str, Any]) -> None:
        folder.mkdir(parents=True)
        self._checkpoint.write(str(folder / "variables"))
        digests = {file.name: _sha256(file) for file in sorted(folder.iterdir())}
        sealed = json.dumps({"files": digests, "state": state})
        seal = hashlib.sha256(sealed.encode()).hexdigest()
        (folder / "state.json").write_text(json.dumps({"seal": seal, "sealed": sealed}), encoding="utf-8")
        for file in folder.iterdir():
            _flush(file)
        _flush(folder)


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


def verify(checkpoint: Path) -> dict[str, Any]:
    """Return the state saved in a checkpoint after checking every byte of it.

    Raises:
        DAMAGED: one of these; the content is not what was written, or a file is missing or cannot be read.
    """
    entry = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    if hashlib.sha256(entry["sealed"].encode()).hexdigest() != entry["seal"]:
        raise ValueError("state.json is not what was written")
    content = json.loads(entry["sealed"])
    for name, digest in content["files"].items():
        if (got := _sha256(checkpoint / name)) != digest:
            raise ValueError(f"{name}: expected sha256 {digest[:12]}..., got {got[:12]}...")
    return content["state"]


def _set_aside(checkpoint: Path, error: Exception) -> None:
    aside = checkpoint.with_name(f"damaged-{checkpoint.name}")
    shutil.rmtree(aside, ignore_errors=True)
    with contextlib.suppress(OSError):  # of a run that is read-only
        checkpoint.rename(aside)
    print(f"warning: {checkpoint}: damaged ({error}); kept as {aside.name}, looking for an older", file=sys.stderr)


def _delete(checkpoint: Path) -> None:
    """Delete a checkpoint so that others, and those who come after a kill, see it whole or not at all."""
    doomed = checkpoint.with_name(f"{checkpoint.name}.deleted.tmp")
    shutil.rmtree(doomed, ignore_errors=True)
    checkpoint.rename(doomed)
    shutil.rmtree(doomed, ignore_errors=True)


def _sha256(path: Path) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _flush(path: Path) -> None:
    """Make what stands at `path`, a file or the names in a folder, survive a power failure."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
