"""Batches and steps on the replicas of the current `tf.distribute` strategy; without a strategy, on one device."""

from collections.abc import Callable, Iterable
from functools import partial, reduce
from typing import Any

import keras
import tensorflow as tf

from common.data.batching import without_autotuning
from common.errors import UserError
from common.nn.fused_kernel import without_kernel
from common.nn.replicas import rows_of_replica

SUM = tf.distribute.ReduceOp.SUM


def current_strategy() -> tf.distribute.Strategy | None:
    """Return the strategy whose scope is entered, None if there is none."""
    return tf.distribute.get_strategy() if tf.distribute.has_strategy() else None


def distribute(data: tf.data.Dataset) -> Iterable[Any]:
    """Return the batches of a data set; with a strategy, each batch in rows for the replicas of this process.

    Each example of a batch goes to exactly one replica. A scalar in a batch goes to all of them.
    """
    data = without_autotuning(data)
    strategy = current_strategy()
    if strategy:
        return strategy.distribute_datasets_from_function(partial(_rows_of_process, data))
    if gpus := tf.config.list_logical_devices("GPU"):
        return data.apply(tf.data.experimental.prefetch_to_device(gpus[0].name))
    return data


def _rows_of_process(data: tf.data.Dataset, context: tf.distribute.InputContext) -> tf.data.Dataset:
    """Return, instead of each batch, one element for each replica of this process: its rows of the batch."""
    replicas = context.num_replicas_in_sync // context.num_input_pipelines
    first = context.input_pipeline_id * replicas

    def split(*batch) -> tf.data.Dataset:
        elements = [tf.nest.map_structure(partial(_rows, first + number), batch) for number in range(replicas)]
        parts = [tf.data.Dataset.from_tensors(element if len(batch) > 1 else element[0]) for element in elements]
        return reduce(tf.data.Dataset.concatenate, parts)

    return data.flat_map(split).prefetch(2 * replicas)


def _rows(replica: int, tensor: tf.Tensor) -> tf.Tensor:
    return tensor if tensor.shape.rank == 0 else rows_of_replica(tensor, replica)


def compile_step(step: Callable, data: tf.data.Dataset, *, eager: bool = False, xla: bool = False) -> Callable:
    """Return `step(batch) -> {name: scalar}`, compiled for the batches of `distribute(data)` unless `eager`.

    With a strategy it runs on every replica, and its results are the sums of what the replicas return.

    Raises:
        UserError: `eager` or `xla` with several devices.
    """
    strategy = current_strategy()
    if strategy and (eager or xla):
        raise UserError(
            f"{'--eager' if eager else '--xla'} works on a single device; leave it out, or use --devices cpu"
        )
    if eager:
        return step
    if xla:  # traced for each shape: in gradients of loops, XLA needs constants that unknown shapes would hide

        @partial(tf.function, jit_compile=True)
        def step_by_xla(batch: Any) -> dict[str, tf.Tensor]:
            with without_kernel():
                return step(batch)

        return step_by_xla
    if not strategy:
        compiled = tf.function(step, input_signature=[data.element_spec])
        compiled.get_concrete_function()  # trace it now: a signal may interrupt this, but not the first step
        return compiled

    @partial(tf.function, input_signature=[distribute(data).element_spec])
    def step_on_replicas(batch: Any) -> dict[str, tf.Tensor]:
        results = strategy.run(step, args=(batch,))
        return {name: strategy.reduce(SUM, value, axis=None) for name, value in results.items()}

    step_on_replicas.get_concrete_function()
    return step_on_replicas


def evaluate(model: keras.Model, test_step: Callable, data: tf.data.Dataset, callbacks) -> dict[str, float]:
    """Return the metrics of `model` over `data`; `test_step` is `model.test_step`, compiled by `compile_step`."""
    model.reset_metrics()
    callbacks.on_test_begin()
    logs: dict[str, float] = {}
    for index, batch in enumerate(distribute(data)):
        callbacks.on_test_batch_begin(index)
        results = test_step(batch)
        logs = {name: float(value) for name, value in results.items()}
        callbacks.on_test_batch_end(index, logs)
    if current_strategy():  # a replica knows its own examples only; here the metrics are summed over all
        logs = {metric.name: float(metric.result()) for metric in model.metrics if metric.name in logs}
    callbacks.on_test_end(logs)
    return logs
