"""Checkpoints that can be trusted: verified before use, with an older one to fall back on, complete for exact resume.

A checkpoint is one folder, `latest-00000550/` or `best-00000440/` (the number is the step), that holds what
`tf.train.Checkpoint` writes and `state.json`: counters, history, and the sha256 of every file beside it. It is written
under a temporary name, flushed to disk, and renamed: under its final name it is complete or it is not there. Which one
is the newest is told by the names alone, so there is no index file that could be damaged.
"""

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
                shutil.rmtree(final)
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
            shutil.rmtree(old, ignore_errors=True)
        return final

    def restore(self, kind: str) -> dict[str, Any] | None:
        """Restore the newest checkpoint of a kind that verifies; return its state, None if there is none at all.

        Damaged ones are named on stderr and renamed `damaged-...`, out of the way and out of the sweep.

        Raises:
            UserError: there are checkpoints, and none of them can be read; or the newest does not fit the model.
        """
        candidates = find(self.folder, kind)
        for candidate in candidates:
            try:
                state = verify(candidate)
            except (OSError, ValueError, LookupError, TypeError) as error:
                aside = candidate.with_name(f"damaged-{candidate.name}")
                shutil.rmtree(aside, ignore_errors=True)
                candidate.rename(aside)
                print(f"warning: {candidate}: damaged ({error}); kept as {aside.name}, using an older", file=sys.stderr)
            else:
                self._read(candidate)
                return state
        if candidates or any(self.folder.glob(f"damaged-{kind}-*")):
            raise UserError(
                f"{self.folder}: no {kind} checkpoint there can be read; restore one from a copy, or start again with "
                "--fresh (the old run is moved aside, not deleted)"
            )
        return None

    def _read(self, checkpoint: Path) -> None:
        try:
            status = self._checkpoint.read(str(checkpoint / "variables"))
            status.assert_existing_objects_matched()
            status.expect_partial()  # to use a model takes less than to train it: no optimizer, for instance
        except (ValueError, AssertionError) as error:
            raise UserError(
                f"{checkpoint}: written by another version of the model ({str(error).splitlines()[0]}); use the code "
                "that trained it, or train again with --fresh"
            ) from error

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
    checkpoints = Checkpoints(folder, model=named_variables(model))
    for kind in ("best", "latest"):
        state = checkpoints.restore(kind)
        if state is not None:
            return state
    raise UserError(f"{folder}: no checkpoint yet; give the `train` command that made this run, it resumes by itself")


def find(folder: Path, kind: str) -> list[Path]:
    """Return the checkpoints of a kind, the newest first, by the step in their names (clocks may jump)."""
    return sorted(folder.glob(f"{kind}-" + "[0-9]" * 8), reverse=True)


def verify(checkpoint: Path) -> dict[str, Any]:
    """Return the state saved in a checkpoint after checking every byte of it.

    Raises:
        ValueError, LookupError, TypeError: the content is not what was written.
        OSError: a file is missing or cannot be read.
    """
    entry = json.loads((checkpoint / "state.json").read_text(encoding="utf-8"))
    if hashlib.sha256(entry["sealed"].encode()).hexdigest() != entry["seal"]:
        raise ValueError("state.json is not what was written")
    content = json.loads(entry["sealed"])
    for name, digest in content["files"].items():
        if (got := _sha256(checkpoint / name)) != digest:
            raise ValueError(f"{name}: expected sha256 {digest[:12]}..., got {got[:12]}...")
    return content["state"]


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
