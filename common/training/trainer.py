"""The training loop: epochs, progress, validation, checkpoints, exact resume, callbacks, graceful shutdown.

The loss and its gradients are in the example's `train_step` and `test_step`. They follow Keras' convention, so the same
model also trains with `compile()` and `fit()`. This loop adds five things: it resumes exactly, anywhere in an epoch; it
trains on when the number of epochs is raised; it runs line by line with `eager=True`; it keeps to a time budget; and it
saves when a signal stops it.

The results of the steps stay on the device and are read together, every few steps. So a GPU need not wait for Python.
"""

import contextlib
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace

import keras
import numpy as np
import tensorflow as tf
from pydantic import ConfigDict, with_config

from common.data.batching import pad_to_buckets
from common.errors import Interrupted, UserError
from common.io.files import remove_temporary_files
from common.io.lock import exclusive
from common.io.records import Count, Line, Seconds, checked
from common.io.terminal import echo
from common.training import distribution
from common.training.checkpoints import Checkpoints, training_variables
from common.training.devices import leave_scope
from common.training.distribution import compile_step, distribute
from common.training.progress import ProgressBar
from common.training.run_directory import RunDirectory
from common.training.samples import log_samples
from common.training.schedule import TimeBudget, WarmupCosine
from common.training.signals import GracefulShutdown
from common.training.workers import WorkerGroup

MAX_STEPS_TO_READ = 10
"""How many steps run, at most, before their results are read; fewer if they take longer than `READ_SECONDS`."""
READ_SECONDS = 0.5
RESUME = "the same command, without --fresh, resumes there"

EpochData = Callable[[int], tf.data.Dataset]
"""Maps an epoch, counted from 0, to its batches, of known number; every call returns the same in the same order."""


@with_config(ConfigDict(extra="forbid"))
@dataclass
class TrainingState:
    """The progress of training: the part of a checkpoint that is not a variable, as JSON values."""

    epochs: Count = 0  # the planned number, 0 before the first session
    first_epoch: Count = 0  # at which the current cycle of the schedule starts: 0, or where a finished run was extended
    first_step: Count = 0  # the step at which it starts
    epoch: Count = 0  # finished epochs, validation included
    batch_in_epoch: Count = 0  # finished batches of the current epoch
    step: Count = 0  # finished batches of all epochs
    total_steps: Count = 0  # the last step of training; 0 while it is unknown
    seconds: Seconds = 0.0  # of training and validation, earlier sessions included
    sums: dict[Line, float] = field(default_factory=dict)  # of the results of train_step in the current epoch
    history: list[dict[Line, int | float]] = field(default_factory=list)  # the rows of metrics.csv
    best: float = math.inf
    best_epoch: Count = 0
    finished: Line = ""  # the reason why training is over, "" while it is not


def set_seed_and_precision(seed: int, precision: str) -> None:
    """Seed Python, NumPy, TensorFlow and Keras, and set the dtype policy; call it before building a model.

    `precision` is "float32", "bfloat16" or "float16". The latter two keep weights and losses in float32. With float16,
    `compile` also scales the loss.
    """
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy("float32" if precision == "float32" else f"mixed_{precision}")


class Trainer:
    """Trains a built and compiled model in a run directory, and resumes an existing run.

    Example:
        Trainer(model, RunDirectory.start(...), epochs=3).fit(lambda epoch: batches(seed, epoch), validation_batches)
    """

    def __init__(
        self,
        model: keras.Model,
        run: RunDirectory,
        *,
        epochs: int,
        steps_per_epoch: int | None = None,
        patience: int | None = None,
        callbacks: Sequence[keras.callbacks.Callback] = (),
        eager: bool = False,
        xla: bool | None = None,
        schedule: WarmupCosine | None = None,
        max_minutes: float | None = None,
        checkpoint_seconds: float = 60.0,
    ):
        """Set up training.

        Args:
            model: built and compiled, with `train_step(batch) -> {name: scalar of this batch}` and, for validation,
                `test_step(batch) -> {name: running result of a metric}` as in Keras.
            run: the directory for checkpoints, metrics.csv and the TensorBoard log.
            epochs: the total number of epochs, earlier sessions included. If it is larger than in the last session, the
                run is extended: a finished run starts its schedule again, an unfinished one stretches it.
            steps_per_epoch: the maximum number of batches per epoch.
            patience: stop after this number of epochs without a better val_loss, or loss if there is no validation.
            callbacks: standard Keras callbacks. `on_train_batch_end` is called when the results of the step are read,
                up to `MAX_STEPS_TO_READ` steps later. The state of callbacks is not saved: after a resume within an
                epoch, `on_epoch_begin` of that epoch is called again.
            eager: run the steps line by line instead of as a graph, for debuggers and print.
            xla: compile the training step with XLA, which merges its many small operations; None: if it runs on a
                single GPU. Sequences are then padded to few lengths, because each shape is compiled once.
            schedule: the schedule of the optimizer, whose first and last step are set here; None for a constant rate.
            max_minutes: the time budget. With a schedule, the number of steps that fit is computed after the first
                steps and saved; the schedule and training both end there, also after a resume. Without a schedule,
                this session saves and stops after this time.
            checkpoint_seconds: the longest time between checkpoints; also saved after every epoch and on a signal.
        """
        self.model, self.run = model, run
        self.epochs, self.steps_per_epoch = epochs, steps_per_epoch
        self.patience, self.eager, self.checkpoint_seconds = patience, eager, checkpoint_seconds
        single_gpu = len(tf.config.list_logical_devices("GPU")) == 1 and not distribution.current_strategy()
        self.xla = single_gpu and not eager if xla is None else xla
        self.schedule = schedule
        self.deadline = time.monotonic() + 60 * max_minutes if max_minutes else math.inf
        self.budget: TimeBudget | None = None
        self.callbacks = keras.callbacks.CallbackList(list(callbacks), model=model)
        self.checkpoints = Checkpoints(run.checkpoints, **training_variables(model))
        self.state = TrainingState()
        self._shutdown = GracefulShutdown()
        self._saved_at = time.monotonic()
        self._results: list[tuple[int, dict[str, tf.Tensor]]] = []  # of the steps that are not read yet
        self._steps_to_read = 1
        self.workers = WorkerGroup.current()
        self.is_chief = not self.workers or self.workers.is_chief

    def fit(self, train_data: EpochData, validation_data: tf.data.Dataset | None = None) -> list[dict[str, float]]:
        """Train until the epochs, the time or the patience end; return the rows of metrics.csv.

        Raises:
            Interrupted: SIGTERM, SIGINT or SIGHUP arrived; everything up to that step is saved.
            UserError: the loss is not finite, the data has no batch or does not know how many, the disk is full, or
                another process trains there.
        """
        with exclusive(self.run.lock):
            history = self._fit(train_data, validation_data)
        leave_scope()
        if not self.is_chief:
            raise SystemExit(0)  # the chief has the run directory and draws the figures
        return history

    def _fit(self, train_data: EpochData, validation_data: tf.data.Dataset | None) -> list[dict[str, float]]:
        self._resume()
        if self.workers:  # only the chief has checkpoints
            self.state = TrainingState(**self.workers.json_from_chief(asdict(self.state)))
            self.workers.assign_from_chief(self.checkpoints.variables)
        if self.state.epochs and self.epochs > self.state.epochs:
            self._extend()
        self.state.epochs = self.epochs
        if self.state.finished:
            echo(
                f"{self.run.path}: training is over ({self.state.finished}); nothing left to do. For more, raise "
                f"--epochs, which is {self.epochs}"
            )
            return self.state.history

        steps = self._count_steps(train_data(0))
        all_steps = self.state.step - self.state.batch_in_epoch + (self.epochs - self.state.epoch) * steps
        self._check_state(steps)
        if self.schedule:
            self.schedule.first_step.assign(self.state.first_step)
            self.schedule.total_steps.assign(all_steps)
        if self.state.total_steps or not self.schedule or self.deadline == math.inf:
            self._set_total_steps(self.state.total_steps or all_steps)
        else:
            # The budget turns the deadline into a number of steps; training then ends there, not at the deadline.
            self.budget = TimeBudget(self.deadline, all_steps - self.state.step, steps)
            self.deadline = math.inf
        planned = self.state.total_steps or all_steps
        with self._shutdown:
            try:
                progress = ProgressBar(self.epochs, planned, self.state.step, self.is_chief)
                with progress.bar, self._shutdown.deferred() if self.workers else contextlib.nullcontext():
                    self._train(train_data, validation_data, steps, progress)
            except BaseException:  # StopRequested, or TensorFlow's error in its place
                if not self._shutdown.is_raised:
                    raise
                self._save()
                place = f"in {self.run.path}" if self.is_chief else "by the chief"
                raise Interrupted(
                    self._shutdown.received, f"saved at step {self.state.step} {place}; {RESUME}"
                ) from None
        self._report_end()
        return self.state.history

    def _train(
        self, train_data: EpochData, validation_data: tf.data.Dataset | None, steps: int, progress: ProgressBar
    ) -> None:
        pad = pad_to_buckets if self.xla else lambda data: data
        train_step = compile_step(self.model.train_step, pad(train_data(0)), eager=self.eager, xla=self.xla)
        test_step = validation_data and compile_step(self.model.test_step, validation_data, eager=self.eager)
        self.model.stop_training = False  # a callback of an earlier training may have set it
        self.callbacks.on_train_begin()
        self._tensorboard = tf.summary.create_file_writer(os.fsencode(self.run.tensorboard))
        while not self.state.finished and not self._is_late(time.monotonic()):
            self._train_epoch(train_step, pad(train_data(self.state.epoch)), steps, progress)
            if self.state.batch_in_epoch == steps or self._is_done():
                ended = time.monotonic()
                self._end_epoch(self._validate(test_step, validation_data, progress), progress)
                self._plan_ends_of_epochs(time.monotonic() - ended, progress)
        self.callbacks.on_train_end()
        self._tensorboard.close()

    def _resume(self) -> None:
        remove_temporary_files(self.run.path)  # left by killed processes
        state = self.checkpoints.restore("latest", quarantine=True)
        if state is None:
            return
        self.state = checked(TrainingState, state, f"{self.run.checkpoints}: state.json")
        self.run.write_metrics(self.state.history)  # after a kill right after the save, a row is missing
        echo(f"{self.run.path}: resuming at step {self.state.step}, epoch {self.state.epoch + 1}")

    def _extend(self) -> None:
        """Plan more epochs; if the run was finished, let its schedule start again."""
        state = self.state
        if state.finished:
            state.first_epoch, state.first_step = state.epoch, state.step
        how = "the learning rate rises and falls again" if state.finished else "the learning rate falls more slowly"
        echo(f"{self.run.path}: extended to {self.epochs} epochs; {how if self.schedule else 'training goes on'}")
        state.finished, state.total_steps = "", 0

    def _check_state(self, steps: int) -> None:
        """Raise UserError if the counters of the checkpoint are impossible with `steps` steps per epoch."""
        state, all_steps = self.state, self.epochs * steps
        is_possible = state.epoch < self.epochs and state.batch_in_epoch <= steps and state.step <= all_steps
        if not (is_possible and state.first_step <= state.step and state.first_epoch <= state.epoch):
            raise UserError(
                f"{self.run.checkpoints}: the newest checkpoint is at step {state.step:,}, batch "
                f"{state.batch_in_epoch:,} of epoch {state.epoch + 1:,}, expected at most {self.epochs:,} epochs of "
                f"{steps:,} steps; restore it from a copy, or start again with --fresh"
            )

    def _set_total_steps(self, total_steps: int) -> None:
        """Set the last step of training and of the schedule, for this session and after every resume."""
        self.state.total_steps = total_steps
        if self.schedule:
            self.schedule.total_steps.assign(total_steps)

    def _is_done(self) -> bool:
        return self.state.step == self.state.total_steps

    def _is_late(self, now: float) -> bool:
        """Return whether the time is up, on the chief's clock."""
        is_late = now > self.deadline
        return bool(self.workers.from_chief([np.array(is_late, "int32")])[0]) if self.workers else is_late

    def _count_steps(self, data: tf.data.Dataset) -> int:
        count = int(data.cardinality())
        if count == tf.data.UNKNOWN_CARDINALITY:
            raise UserError(
                "the data set does not know how many batches it has; tell it with "
                "data.apply(tf.data.experimental.assert_cardinality(COUNT))"
            )
        if count == tf.data.INFINITE_CARDINALITY:
            if self.steps_per_epoch is None:
                raise UserError("the data set never ends; set steps_per_epoch")
            return self.steps_per_epoch
        if not count:
            raise UserError("the data set has no batch; use more data or a smaller --batch-size")
        return min(self.steps_per_epoch or count, count)

    def _train_epoch(self, train_step: Callable, data: tf.data.Dataset, steps: int, progress: ProgressBar) -> None:
        """Run the remaining steps of the current epoch; return early at the end of training or of the time."""
        state = self.state
        progress.start_epoch(state.epoch)
        self.callbacks.on_epoch_begin(state.epoch)
        if state.total_steps:
            steps = min(steps, state.batch_in_epoch + state.total_steps - state.step)
        read_at = time.monotonic()
        for batch in distribute(data.take(steps).skip(state.batch_in_epoch)):
            with self._shutdown.deferred():
                self.callbacks.on_train_batch_begin(state.batch_in_epoch)
                self._results.append((state.batch_in_epoch, train_step(batch)))
                state.batch_in_epoch, state.step = state.batch_in_epoch + 1, state.step + 1
                at_end = state.batch_in_epoch == steps or self._is_done()
                if len(self._results) < self._steps_to_read and not at_end:
                    continue
                count = len(self._results)
                logs = self._read_results()
                now = time.monotonic()
                state.seconds += now - read_at
                seconds_per_step, read_at = (now - read_at) / count, now
            progress.advance(count, logs)
            self._plan_next(now, seconds_per_step, progress)
            if self._is_done():
                return
            if self._is_late(now):
                return self._save()
            if now > self._saved_at + self.checkpoint_seconds and state.batch_in_epoch < steps:
                self._save()

    def _read_results(self) -> dict[str, float]:
        """Read the results of the last steps from the device, check and add them, and return those of the last one."""
        logs: dict[str, float] = {}
        results, self._results = self._results, []
        for index, (batch, values) in enumerate(results):
            logs = {name: float(value) for name, value in values.items()}
            self._check_finite(logs, steps_ago=len(results) - 1 - index)
            self.callbacks.on_train_batch_end(batch, logs)
            self.state.sums = {name: self.state.sums.get(name, 0.0) + value for name, value in logs.items()}
        return logs

    def _plan_next(self, now: float, seconds_per_step: float, progress: ProgressBar) -> None:
        """Decide, if it is open, how many steps there are, and when to read results next; the chief decides for all.

        Raises:
            StopRequested: one of several workers got a signal.
        """
        more = 0 if self.state.total_steps else self.budget.steps_that_fit(now)
        is_planned = self.state.total_steps or more
        to_read = int(min(READ_SECONDS, self.checkpoint_seconds) / seconds_per_step)
        to_read = max(1, min(MAX_STEPS_TO_READ, to_read)) if is_planned and not self.eager else 1
        if self.workers:
            decisions = np.array([more, to_read]) * self.is_chief
            signals, *decisions = self.workers.sum([np.array([self._shutdown.received is not None, *decisions])])[0]
            if signals:
                self._shutdown.stop()
            more, to_read = map(int, decisions)
        if more:
            self._set_total_steps(self.state.step + more)
            progress.bar.total = self.state.total_steps
        self._steps_to_read = to_read

    def _plan_ends_of_epochs(self, seconds: float, progress: ProgressBar) -> None:
        """Shorten the plan, once, if the end of an epoch takes so many `seconds`; the chief decides for all."""
        if not self.budget or self.state.finished:
            return
        more = self.budget.end_epoch(seconds, time.monotonic())
        if self.workers:
            more = int(self.workers.from_chief([np.array(more)])[0])
        if more:
            self._set_total_steps(min(self.state.total_steps, self.state.step + more))
            progress.bar.total, self.budget = self.state.total_steps, None

    def _validate(
        self, test_step: Callable | None, data: tf.data.Dataset | None, progress: ProgressBar
    ) -> dict[str, float]:
        if test_step is None:
            return {}
        progress.start_epoch(self.state.epoch, "validation")
        started = time.monotonic()
        logs = distribution.evaluate(self.model, test_step, data, self.callbacks)
        self.state.seconds += time.monotonic() - started
        return {f"val_{name}": value for name, value in logs.items()}

    def _end_epoch(self, validation_logs: dict[str, float], progress: ProgressBar) -> None:
        """Compute the row of metrics, save the best weights, run the callbacks, save; the order matters.

        The latest checkpoint is written last. So a kill in between repeats the end of this epoch with the same result.
        """
        state = replace(self.state)  # a copy: if a signal interrupts this method, the state from before it is saved
        logs = {name: total / state.batch_in_epoch for name, total in state.sums.items()} | validation_logs
        state.epoch, state.batch_in_epoch, state.sums = state.epoch + 1, 0, {}
        row = {"epoch": state.epoch, "step": state.step, "seconds": round(state.seconds, 2), **logs}
        state.history = [*state.history, row]
        monitored = logs.get("val_loss", logs.get("loss", math.inf))
        if is_best := monitored < state.best:
            self._check_weights()  # the loss is from before the last update
            state.best, state.best_epoch = monitored, state.epoch
            with self._shutdown.deferred():
                best = {"epoch": state.epoch, "value": monitored}
                self.checkpoints.save("best", state.step, best, keep=1)
        self.callbacks.on_epoch_end(state.epoch - 1, logs)
        state.finished = self._stop_reason(state)
        with self._shutdown.deferred():
            self.state = state
            self._save()
            self.run.write_metrics(state.history)
            self._log_to_tensorboard(logs)
            progress.end_epoch(row, is_best)

    def _stop_reason(self, state: TrainingState) -> str:
        if state.epoch >= self.epochs:
            return f"{self.epochs} epoch{'s' if self.epochs > 1 else ''}"
        if self._is_done():
            return f"{state.total_steps} steps, the most that fit into the time"
        if self.patience and state.epoch - max(state.best_epoch, state.first_epoch) >= self.patience:
            return f"no better val_loss for {self.patience} epochs"
        return "stopped by a callback" if self.model.stop_training else ""

    def _save(self) -> None:
        with self._shutdown.deferred():
            self._read_results()
            self._check_weights()
            self.checkpoints.save("latest", self.state.step, asdict(self.state))
            self._saved_at = time.monotonic()

    def _check_finite(self, logs: dict[str, float], steps_ago: int) -> None:
        wrong = [f"{name} is {value}" for name, value in logs.items() if not math.isfinite(value)]
        if wrong:
            state = self.state
            raise self._diverged(
                f"{', '.join(wrong)} at step {state.step - steps_ago} (epoch {state.epoch + 1}, batch "
                f"{state.batch_in_epoch - steps_ago})"
            )

    def _check_weights(self) -> None:
        """Raise UserError if a weight is not finite.

        The loss does not show this: it is computed before the update, so that of the same step may be finite.
        """
        for weight in self.model.trainable_variables:
            if not tf.reduce_all(tf.math.is_finite(tf.convert_to_tensor(weight))):
                raise self._diverged(f"{weight.path} is not finite after step {self.state.step}")

    def _diverged(self, what: str) -> UserError:
        return UserError(
            f"{what}; training stopped, the last good checkpoint in {self.run.checkpoints} is kept; start again with a "
            "lower learning rate and --fresh"
        )

    def _log_to_tensorboard(self, logs: dict[str, float]) -> None:
        """Log metrics, learning rates, and the samples of the epoch that a callback has written, if any."""
        optimizers = {name: part for name, part in vars(self.model).items() if hasattr(part, "learning_rate")}
        rates = {
            f"{name}/learning_rate": float(tf.convert_to_tensor(part.learning_rate))  # one of the copies, if it has any
            for name, part in optimizers.items()
        }
        with self._tensorboard.as_default(step=self.state.step):
            for name, value in (logs | rates).items():
                tf.summary.scalar(name, value)
            log_samples(self.run, self.state.epoch)
        self._tensorboard.flush()

    def _report_end(self) -> None:
        state = self.state
        if not state.finished:
            echo(f"{self.run.path}: time is up, saved at step {state.step}; {RESUME}")
        else:
            best = f", best {state.best:.4f} at epoch {state.best_epoch}" if state.best_epoch else ""
            echo(f"{self.run.path}: trained ({state.finished}){best}")


def evaluate(model: keras.Model, data: tf.data.Dataset) -> dict[str, float]:
    """Return the metrics of `model.test_step` over `data`, computed as in validation."""
    test_step = compile_step(model.test_step, data)
    return distribution.evaluate(model, test_step, data, keras.callbacks.CallbackList(model=model))
