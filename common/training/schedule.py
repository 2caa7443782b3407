"""The learning rate over a run, at its end where the run ends, and how many steps a run may have in a given time."""

import math

import keras
import tensorflow as tf


class WarmUpAndDecay(keras.optimizers.schedules.LearningRateSchedule):
    """Climbs in equal steps to `peak`, then falls along half a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983).

    Where it ends, `total_steps`, is a variable: `Trainer` moves it when it has seen how many steps the time allows.
    """

    def __init__(self, peak: float, total_steps: int, warmup_steps: int, floor: float = 0.0):
        """Plan the rate.

        Args:
            peak: the highest rate.
            total_steps: of the run; from there on the rate stays at its floor.
            warmup_steps: of the climb; at most half of all.
            floor: share of `peak` that is left at the end.
        """
        self.peak, self.warmup_steps, self.floor = peak, warmup_steps, floor
        self.total_steps = tf.Variable(total_steps, trainable=False, dtype=tf.int64)

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        """Return the rate, float32, for the step of this number, from 0."""
        step, total = tf.cast(step, tf.float32), tf.cast(self.total_steps, tf.float32)
        warmup = tf.minimum(float(self.warmup_steps), total // 2)
        climbed = tf.minimum((step + 1) / tf.maximum(warmup, 1), 1)
        fallen = tf.clip_by_value((step - warmup) / tf.maximum(total - warmup, 1), 0, 1)
        share = self.floor + (1 - self.floor) * (1 + tf.cos(math.pi * fallen)) / 2
        return self.peak * climbed * share


class TimePlan:
    """Tells, once the first steps are timed, how many more fit into the time."""

    _TIMED = 24  # steps; those before, while TensorFlow compiles, do not count
    _COMPILING = 2
    _SHARE = 0.94  # of the time is for steps, the rest for validation, samples and checkpoints

    def __init__(self, deadline: float, most: int):
        """Plan until `deadline`, in seconds of `time.monotonic`, for `most` steps at most."""
        self.deadline, self.most = deadline, most
        self._ends: list[float] = []  # of the steps so far, in seconds

    def steps_that_fit(self, now: float) -> int:
        """Return how many steps to make after the one that ended `now`, at least 1; 0 while it is too early to say."""
        self._ends.append(now)
        if len(self._ends) < self._COMPILING + self._TIMED:
            return 0
        seconds = (now - self._ends[self._COMPILING - 1]) / self._TIMED
        fitting = int(self._SHARE * (self.deadline - now) / seconds)
        return min(max(1, fitting), self.most - len(self._ends))
