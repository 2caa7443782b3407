"""The training loop: epochs, progress, validation, checkpoints, exact resume, callbacks, orderly stops.

What is learned, and how, stands in the example's `train_step` and `test_step`, which follow Keras' own convention; so
the same model also trains with `compile()` and `fit()`. This loop adds what `fit` cannot do: it resumes to the bit
anywhere in an epoch, runs line by line with `eager=True`, keeps to a time budget, and saves when it is told to stop.
"""

import math
import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace

import keras
import tensorflow as tf
from pydantic import ConfigDict, with_config
from tqdm.auto import tqdm

from common.data.batching import quick_to_stop
from common.errors import Interrupted, UserError
from common.io.lock import exclusive
from common.io.records import Count, Line, Seconds, checked
from common.io.terminal import echo, one_line
from common.training.checkpoints import Checkpoints, training_state
from common.training.run_directory import Run
from common.training.schedule import TimePlan, WarmUpAndDecay
from common.training.signals import StopSignals

_WATCHED = sys.stderr.isatty() or "ipykernel" in sys.modules  # a terminal or a notebook, not a log file

EpochData = Callable[[int], tf.data.Dataset]
"""Maps an epoch's number, from 0, to its batches: the same ones in the same order whenever it is asked."""


@with_config(ConfigDict(extra="forbid"))
@dataclass
class Progress:
    """Where training stands: what a checkpoint holds beside the variables, as JSON values."""

    epoch: Count = 0  # epochs finished, validation included
    position: Count = 0  # batches done in the epoch under way
    step: Count = 0  # batches done in all
    total_steps: Count = 0  # at which training is over; 0 until that is decided
    seconds: Seconds = 0.0  # spent in training and validation, earlier sessions included
    sums: dict[Line, float] = field(default_factory=dict)  # over this epoch's batches, of what train_step returned
    history: list[dict[Line, float]] = field(default_factory=list)  # the rows of metrics.csv
    best: float = math.inf
    best_epoch: Count = 0
    finished: Line = ""  # why training is over, empty while it is not


def prepare(seed: int, precision: str) -> None:
    """Seed all random number generators and choose the arithmetic of the layers; call it before building a model.

    Args:
        seed: for Python, NumPy, TensorFlow and Keras.
        precision: "float32", "bfloat16" or "float16"; the latter two keep weights and losses in float32, and float16
            also gets a scaled loss from `compile`.
    """
    keras.utils.set_random_seed(seed)
    keras.config.set_dtype_policy("float32" if precision == "float32" else f"mixed_{precision}")


class Trainer:
    """Trains a built and compiled model in a run directory, resuming the run it finds there.

    Example:
        Trainer(model, Run.start(...), epochs=3).fit(lambda epoch: batches(seed, epoch), validation_batches)
    """

    def __init__(
        self,
        model: keras.Model,
        run: Run,
        *,
        epochs: int,
        steps_per_epoch: int | None = None,
        patience: int | None = None,
        monitor: str = "val_loss",
        callbacks: Sequence[keras.callbacks.Callback] = (),
        eager: bool = False,
        schedule: WarmUpAndDecay | None = None,
        max_minutes: float | None = None,
        checkpoint_seconds: float = 60.0,
    ):
        """Set up training.

        Args:
            model: built, compiled, with `train_step(batch) -> {name: scalar of this batch}` and, for validation,
                `test_step(batch) -> {name: running result of a metric}` as in Keras.
            run: where checkpoints, metrics.csv and the TensorBoard log go.
            epochs: how many in all, those of earlier sessions included.
            steps_per_epoch: cut every epoch short after so many batches.
            patience: stop after so many epochs without a better `monitor`.
            monitor: the column of metrics.csv that should fall; falls back on "loss" without validation.
            callbacks: standard Keras callbacks. Their own state is not saved: after a resume in mid-epoch they see
                `on_epoch_begin` of that epoch again.
            eager: run the steps line by line instead of compiled to a graph, for debuggers and print.
            schedule: of the model's optimizer, if its rate ends where the run does.
            max_minutes: of a run with a schedule. After the first steps it is decided how many fit, at most those of
                all epochs: there the rate comes to its end and training is over, also if it is interrupted before.
                Without a schedule: stop, saved and ready to resume, when this session has lasted so long.
            checkpoint_seconds: save at least this often; also after every epoch and when told to stop.
        """
        self.model, self.run = model, run
        self.epochs, self.steps_per_epoch = epochs, steps_per_epoch
        self.patience, self.monitor = patience, monitor
        self.eager, self.checkpoint_seconds = eager, checkpoint_seconds
        self.schedule = schedule
        self.deadline = time.monotonic() + 60 * max_minutes if max_minutes else math.inf
        self.plan: TimePlan | None = None
        self.callbacks = keras.callbacks.CallbackList(list(callbacks), model=model)
        self.checkpoints = Checkpoints(run.checkpoints, **training_state(model))
        self.progress = Progress()
        self._stop = StopSignals()
        self._saved_at = time.monotonic()

    def fit(self, train_data: EpochData, validation_data: tf.data.Dataset | None = None) -> list[dict[str, float]]:
        """Train until the epochs are done, the time is up or no progress is seen; return the rows of metrics.csv.

        Raises:
            Interrupted: SIGTERM, SIGINT or SIGHUP came; everything up to that step is saved.
            UserError: the loss is not finite, there is no batch, the disk is full, or another process trains there.
        """
        with exclusive(self.run.lock):
            return self._fit(train_data, validation_data)

    def _fit(self, train_data: EpochData, validation_data: tf.data.Dataset | None) -> list[dict[str, float]]:
        self._resume()
        if self.progress.finished:
            echo(f"{self.run.path}: training is over ({self.progress.finished}); nothing left to do")
            return self.progress.history

        steps = self._count_steps(train_data(0))
        all_steps = self.epochs * steps
        self._check_position(steps)
        if self.progress.total_steps or not self.schedule or self.deadline == math.inf:
            self._end_at(self.progress.total_steps or all_steps)
        else:
            self.plan, self.deadline = TimePlan(self.deadline, all_steps - self.progress.step), math.inf
        with self._stop, self._progress_bar(self.progress.total_steps or all_steps) as bar:
            try:
                self._train(train_data, validation_data, steps, bar)
            except BaseException:
                if not self._stop.is_raised:
                    raise
                self._save()
                raise Interrupted(
                    self._stop.received,
                    f"saved at step {self.progress.step} in {self.run.path}; the same command resumes there",
                ) from None
        self._report_end()
        return self.progress.history

    def _train(self, train_data: EpochData, validation_data: tf.data.Dataset | None, steps: int, bar: tqdm) -> None:
        train_step = _step_function(self.model.train_step, train_data(0), self.eager)
        test_step = validation_data and _step_function(self.model.test_step, validation_data, self.eager)
        self.callbacks.on_train_begin()
        self._tensorboard = tf.summary.create_file_writer(os.fsencode(self.run.tensorboard))
        while not self.progress.finished and time.monotonic() < self.deadline:
            self._train_epoch(train_step, train_data(self.progress.epoch), steps, bar)
            if self.progress.position == steps or self._is_at_end():
                self._end_epoch(self._validate(test_step, validation_data, bar), bar)
        self.callbacks.on_train_end()
        self._tensorboard.close()

    def _resume(self) -> None:
        self.run.sweep()
        state = self.checkpoints.restore("latest", set_aside=True)
        if state is None:
            return
        self.progress = checked(Progress, state, f"{self.run.checkpoints}: state.json")
        self.run.write_metrics(self.progress.history)  # a kill just after the save leaves it one row short
        echo(f"{self.run.path}: resuming at step {self.progress.step}, epoch {self.progress.epoch + 1}")

    def _check_position(self, steps: int) -> None:
        """Raise UserError if the checkpoint stands where no run of so many steps an epoch can stand."""
        progress, all_steps = self.progress, self.epochs * steps
        if not (progress.epoch < self.epochs and progress.position <= steps and progress.step <= all_steps):
            raise UserError(
                f"{self.run.checkpoints}: the newest checkpoint stands at step {progress.step:,}, batch "
                f"{progress.position:,} of epoch {progress.epoch + 1:,}, expected {self.epochs:,} epochs of {steps:,} "
                "steps at most; restore it from a copy, or start again with --fresh"
            )

    def _end_at(self, total_steps: int) -> None:
        """Fix for this and all later sessions at which step training is over and the learning rate at its end."""
        self.progress.total_steps = total_steps
        if self.schedule:
            self.schedule.total_steps.assign(total_steps)

    def _is_at_end(self) -> bool:
        return self.progress.step == self.progress.total_steps

    def _count_steps(self, data: tf.data.Dataset) -> int:
        available = int(data.cardinality())
        if available == 0:
            raise UserError("the data set gives no batch at all; use more data or a smaller --batch-size")
        if available < 0 and not self.steps_per_epoch:
            raise UserError("the data set does not know its length; say how much is an epoch with --steps-per-epoch")
        return min(self.steps_per_epoch or available, available) if available > 0 else self.steps_per_epoch

    def _train_epoch(self, train_step: Callable, data: tf.data.Dataset, steps: int, bar: tqdm) -> None:
        """Run what is left of the epoch under way, or less if training or the time is over before."""
        progress = self.progress
        bar.set_description(f"epoch {progress.epoch + 1}/{self.epochs}", refresh=False)
        self.callbacks.on_epoch_begin(progress.epoch)
        if progress.total_steps:
            steps = min(steps, progress.position + progress.total_steps - progress.step)
        started = time.monotonic()
        for batch in quick_to_stop(data.take(steps).skip(progress.position)):
            with self._stop.deferred():
                self.callbacks.on_train_batch_begin(progress.position)
                logs = {name: float(value) for name, value in train_step(batch).items()}
                self._check_finite(logs)
                self.callbacks.on_train_batch_end(progress.position, logs)
                progress.position, progress.step = progress.position + 1, progress.step + 1
                progress.sums = {name: progress.sums.get(name, 0.0) + value for name, value in logs.items()}
                now = time.monotonic()
                progress.seconds, started = progress.seconds + now - started, now
            bar.set_postfix({name: f"{value:.3f}" for name, value in logs.items()}, refresh=False)
            bar.update()
            if not progress.total_steps and (more := self.plan.steps_that_fit(now)):
                self._end_at(progress.step + more)
                bar.total = progress.total_steps
            if self._is_at_end():
                return
            if now > self.deadline:
                return self._save()
            if now > self._saved_at + self.checkpoint_seconds and progress.position < steps:
                self._save()

    def _validate(self, test_step: Callable | None, data: tf.data.Dataset | None, bar: tqdm) -> dict[str, float]:
        if test_step is None:
            return {}
        bar.set_description(f"epoch {self.progress.epoch + 1}/{self.epochs} validation", refresh=_WATCHED)
        started = time.monotonic()
        logs = _evaluate(self.model, test_step, data, self.callbacks)
        self.progress.seconds += time.monotonic() - started
        return {f"val_{name}": value for name, value in logs.items()}

    def _end_epoch(self, validation_logs: dict[str, float], bar: tqdm) -> None:
        """Turn the epoch's sums into a row, keep the best weights, run the callbacks, save; the order matters.

        The latest checkpoint comes after everything else that the epoch writes, so that a kill anywhere in between
        repeats the end of this epoch, with the same outcome, instead of leaving a hole.
        """
        progress = replace(self.progress)  # so that whoever is stopped in between stands before the end of the epoch
        logs = {name: total / progress.position for name, total in progress.sums.items()} | validation_logs
        progress.epoch, progress.position, progress.sums = progress.epoch + 1, 0, {}
        row = {"epoch": progress.epoch, "step": progress.step, "seconds": round(progress.seconds, 2), **logs}
        progress.history = [*progress.history, row]
        monitored = logs.get(self.monitor, logs.get("loss", math.inf))
        if is_best := monitored < progress.best:
            progress.best, progress.best_epoch = monitored, progress.epoch
            with self._stop.deferred():
                best = {"epoch": progress.epoch, "value": monitored}
                self.checkpoints.save("best", progress.step, best, keep=1)
        self.callbacks.on_epoch_end(progress.epoch - 1, logs)
        progress.finished = self._why_finished(progress)
        with self._stop.deferred():
            self.progress = progress
            self._save()
            self.run.write_metrics(progress.history)
            self._log_to_tensorboard(logs)
            self._report_epoch(logs, is_best, bar)

    def _report_epoch(self, logs: dict[str, float], is_best: bool, bar: tqdm) -> None:
        progress = self.progress
        figures = "  ".join(f"{name} {value:.4f}" for name, value in logs.items())
        best = "  best" if is_best else ""
        line = f"epoch {progress.epoch}/{self.epochs}  step {progress.step}  {progress.seconds:.0f} s  {figures}{best}"
        if _WATCHED:
            bar.write(one_line(line))  # above the bar
        else:
            echo(line)

    def _why_finished(self, progress: Progress) -> str:
        if progress.epoch >= self.epochs:
            return f"{self.epochs} epochs"
        if self._is_at_end():
            return f"{progress.total_steps} steps, as many as fit into the time"
        if self.patience and progress.epoch - progress.best_epoch >= self.patience:
            return f"no better {self.monitor} for {self.patience} epochs"
        return "a callback said so" if self.model.stop_training else ""

    def _save(self) -> None:
        with self._stop.deferred():
            self.checkpoints.save("latest", self.progress.step, asdict(self.progress))
            self._saved_at = time.monotonic()

    def _check_finite(self, logs: dict[str, float]) -> None:
        wrong = [f"{name} is {value}" for name, value in logs.items() if not math.isfinite(value)]
        if wrong:
            progress = self.progress
            raise UserError(
                f"{', '.join(wrong)} at step {progress.step + 1} (epoch {progress.epoch + 1}, batch "
                f"{progress.position + 1}); training stopped, the last good checkpoint in {self.run.checkpoints} is "
                "kept; start again with a lower --learning-rate and --fresh"
            )

    def _progress_bar(self, total_steps: int) -> tqdm:
        """Return a bar over all epochs, so that its ETA is the end of training; rare lines where nobody watches."""
        return tqdm(
            total=total_steps,
            initial=self.progress.step,
            unit="step",
            mininterval=0.2 if _WATCHED else 15,
            dynamic_ncols=_WATCHED,
            leave=False,
        )

    def _log_to_tensorboard(self, logs: dict[str, float]) -> None:
        with self._tensorboard.as_default(step=self.progress.step):
            for name, value in logs.items():
                tf.summary.scalar(name, value)
        self._tensorboard.flush()

    def _report_end(self) -> None:
        progress = self.progress
        if not progress.finished:
            echo(f"{self.run.path}: time is up, saved at step {progress.step}; the same command resumes there")
        else:
            best = f", best {progress.best:.4f} at epoch {progress.best_epoch}" if progress.best_epoch else ""
            echo(f"{self.run.path}: trained ({progress.finished}){best}")


def evaluate(model: keras.Model, data: tf.data.Dataset, eager: bool = False) -> dict[str, float]:
    """Return the metrics of `model.test_step` over all of `data`, by the same rule as validation during training."""
    test_step = _step_function(model.test_step, data, eager)
    return _evaluate(model, test_step, data, keras.callbacks.CallbackList(model=model))


def _evaluate(
    model: keras.Model,
    test_step: Callable,
    data: tf.data.Dataset,
    callbacks: keras.callbacks.CallbackList,
) -> dict[str, float]:
    model.reset_metrics()
    callbacks.on_test_begin()
    logs: dict[str, float] = {}
    for number, batch in enumerate(quick_to_stop(data)):
        callbacks.on_test_batch_begin(number)
        logs = {name: float(value) for name, value in test_step(batch).items()}
        callbacks.on_test_batch_end(number, logs)
    callbacks.on_test_end(logs)
    return logs


def _step_function(step: Callable, data: tf.data.Dataset, eager: bool) -> Callable:
    """Return `step` as it is, or compiled once for every shape that the data set declares."""
    if eager:
        return step
    compiled = tf.function(step, input_signature=[data.element_spec])
    compiled.get_concrete_function()  # traced now, where it may be interrupted, and not with the first step
    return compiled
