"""The learning-rate schedule, whose ends can be moved, and the number of steps that fit into a given time."""

import math
from typing import Any

import keras
import numpy as np
import tensorflow as tf


@keras.saving.register_keras_serializable("eager_examples")
class WarmupCosine(keras.optimizers.schedules.LearningRateSchedule):
    """Linear warm-up to `peak_rate`, then cosine decay (Loshchilov and Hutter 2017, arXiv:1608.03983).

    `total_steps` and `first_step` are variables. `Trainer` changes `total_steps` once it knows how many steps fit into
    the time. A run that is extended after its end starts the schedule again at `first_step` (a warm restart, same
    paper).
    """

    def __init__(self, peak_rate: float, total_steps: int, warmup_steps: int, end_fraction: float = 0.0):
        """Set the shape of the schedule.

        Args:
            peak_rate: the highest rate.
            total_steps: the last step of the run; from then on, the rate is constant.
            warmup_steps: steps of the warm-up; at most half of `cycle_steps` are used.
            end_fraction: the last rate as a fraction of `peak_rate`.
        """
        self.peak_rate, self.warmup_steps, self.end_fraction = peak_rate, warmup_steps, end_fraction
        self.first_step = tf.Variable(0, trainable=False, dtype=tf.int64)
        self.total_steps = tf.Variable(total_steps, trainable=False, dtype=tf.int64)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, so that Keras can save and load the schedule; it starts at step 0."""
        return {
            "peak_rate": self.peak_rate,
            "total_steps": int(self.total_steps),
            "warmup_steps": self.warmup_steps,
            "end_fraction": self.end_fraction,
        }

    @property
    def cycle_steps(self) -> tf.Tensor:
        """The number of steps from the first to the last, float32."""
        return tf.cast(self.total_steps - self.first_step, tf.float32)

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Return the learning rate, float32, at `step`, counted from 0."""
        # In float16 an optimizer skips steps whose gradients overflow, and lags behind the steps that Trainer counts.
        step = tf.maximum(tf.cast(step, tf.int64) - self.first_step, 0)
        step, total = tf.cast(step, tf.float32), self.cycle_steps
        warmup = tf.minimum(float(self.warmup_steps), total // 2)
        rise = tf.minimum((step + 1) / tf.maximum(warmup, 1), 1)
        decayed = tf.clip_by_value((step - warmup) / tf.maximum(total - warmup, 1), 0, 1)
        fraction = self.end_fraction + (1 - self.end_fraction) * (1 + tf.cos(math.pi * decayed)) / 2
        return self.peak_rate * rise * fraction


def build_schedule(config: Any, total_steps: int = 1) -> WarmupCosine:
    """Return the learning rate by the settings of an example; `Trainer` sets `total_steps` to those of its run."""
    floor = getattr(config, "learning_rate_floor", 0.0)
    return WarmupCosine(config.learning_rate, total_steps, config.warmup_steps, floor)


class TimeBudget:
    """Measures the first steps and the end of the first epoch, and computes how many more steps fit into the time."""

    _COMPILING_STEPS = 2  # not measured: TensorFlow still compiles
    _COMPILING_RATIO = 10  # a step that takes so many times the median compiles another shape, and is not measured
    _MEASURED_STEPS = 24
    _STEP_FRACTION = 0.94  # of the time; the rest is for what takes longer later

    def __init__(self, deadline: float, max_steps: int, steps_per_epoch: int):
        """Plan at most `max_steps` steps until `deadline`, in seconds of `time.monotonic`."""
        self.deadline, self.max_steps, self.steps_per_epoch = deadline, max_steps, steps_per_epoch
        self._end_times: list[float] = []  # of the steps so far, in seconds
        self._step_seconds = self._epoch_end_seconds = 0.0  # 0 while they are unknown

    def steps_that_fit(self, now: float) -> int:
        """Return the number of steps that fit after the step that ended at `now`; 0 while it is still unknown."""
        self._end_times.append(now)
        if len(self._end_times) < self._COMPILING_STEPS + self._MEASURED_STEPS:
            return int(now >= self.deadline)  # then the next step is the last one
        durations = np.diff(self._end_times[self._COMPILING_STEPS - 1 :])
        self._step_seconds = durations[durations <= self._COMPILING_RATIO * np.median(durations)].mean()
        return min(self._steps_until_deadline(now), self.max_steps - len(self._end_times))

    def end_epoch(self, seconds: float, now: float) -> int:
        """Return the same after an epoch whose end took `seconds`: validation, samples and checkpoints."""
        self._epoch_end_seconds = seconds
        self._end_times = [time + seconds for time in self._end_times]  # it is no part of a step
        return self._steps_until_deadline(now) if self._step_seconds else 0

    def _steps_until_deadline(self, now: float) -> int:
        seconds = self._step_seconds + self._epoch_end_seconds / self.steps_per_epoch
        return max(1, int(self._STEP_FRACTION * (self.deadline - now) / seconds))
