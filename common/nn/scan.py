"""The loop of a recurrent network over time."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf


def scan_time(step: Callable[[Any, Any], tuple], inputs: Any, state: Any, outputs_like: tuple) -> Any:
    """Return the results of `step` after each position, each [B, T, ...]: the states, then the outputs.

        s_t, o_t = step(x_t, s_{t-1})           for t = 1 ... T

    B is the batch and T the time. The gradient flows through all steps.

    Args:
        step: maps x_t [B, ...] and s_{t-1} [B, ...] to a tuple of s_t and the outputs of this step, each [B, ...].
        inputs: x, [B, T, ...], or a tuple of such tensors; then `step` gets a tuple of their slices at t.
        state: s_0, [B, ...], or a list of such tensors, for instance h and c of an LSTM.
        outputs_like: for each output of a step a tensor of its shape and dtype; the values are not used.
    """
    inputs = tf.nest.map_structure(_swap_batch_and_time, inputs)  # T B ...
    results = tf.scan(lambda before, x: step(x, before[0]), inputs, (state, *map(tf.zeros_like, outputs_like)))
    return tf.nest.map_structure(_swap_batch_and_time, results)


def _swap_batch_and_time(x: tf.Tensor) -> tf.Tensor:
    return tf.transpose(x, [1, 0, *range(2, x.shape.rank)])
