"""Several processes, on one or several machines, that train one model together: the workers of TF_CONFIG.

All of them do the same, each on its part of every batch. The first one, the chief, has the run directory. What depends
on a clock, a signal or a file is decided by the chief, or by all together, so that the workers never disagree.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import tensorflow as tf

from common.training.checkpoints import local_value
from common.training.cluster import Workers, read_workers


class WorkerGroup:
    """The communication between this process and the other workers; every worker must make the same calls."""

    def __init__(self, strategy: tf.distribute.Strategy, workers: Workers):
        """Keep the strategy that connects the workers."""
        self.strategy, self.workers = strategy, workers
        self.is_chief = workers.is_chief
        self._replicas = strategy.num_replicas_in_sync // len(workers.addresses)

    @classmethod
    def current(cls) -> Self | None:
        """Return the group of this process; None if it trains alone."""
        strategy, workers = tf.distribute.get_strategy(), read_workers()
        is_connected = isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy) and workers
        return cls(strategy, workers) if is_connected else None

    def sum(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the sums of numeric arrays over all workers."""
        return [sums.numpy() for sums in self._sum(*map(tf.constant, arrays))]

    @tf.function
    def _sum(self, *tensors: tf.Tensor) -> list[tf.Tensor]:
        def add() -> list[tf.Tensor]:
            context = tf.distribute.get_replica_context()
            counts = context.replica_id_in_sync_group % self._replicas == 0  # one replica of each worker
            own = [tf.where(counts, tensor, tf.zeros_like(tensor)) for tensor in tensors]
            return [context.all_reduce(tf.distribute.ReduceOp.SUM, tensor) for tensor in own]  # dtypes may differ

        return [self.strategy.experimental_local_results(sums)[0] for sums in self.strategy.run(add)]

    def from_chief(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Return the chief's arrays in every worker; those of the others have the same shapes and dtypes."""
        return self.sum([array if self.is_chief else np.zeros_like(array) for array in arrays])

    def json_from_chief(self, value: Any) -> Any:
        """Return the chief's JSON value in every worker."""
        content = np.frombuffer(json.dumps(value).encode(), np.uint8).astype("int32")
        [length] = self.from_chief([np.array(len(content))])
        [content] = self.from_chief([content if self.is_chief else np.zeros(length, "int32")])
        return json.loads(bytes(content.astype(np.uint8)))

    def assign_from_chief(self, variables: Mapping[str, tf.Variable]) -> None:
        """Assign the chief's values to the variables of every worker."""
        values = self.from_chief([local_value(variable) for variable in variables.values()])
        for variable, value in zip(variables.values(), values, strict=True):
            variable.assign(tf.cast(value, variable.dtype))
