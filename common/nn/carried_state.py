"""The state of recurrent layers, carried from each batch to the next."""

from functools import partial
from typing import Any

import keras
import tensorflow as tf

from common.nn.replicas import gather_rows, take_rows


class CarriedState(keras.layers.Layer):
    """The state of recurrent layers between batches, in non-trainable variables.

    It is passed on as plain values, so no gradient flows into the previous batch (truncated back-propagation through
    time). As part of a model it is saved in the checkpoints: an interrupted run resumes with the same state.

    The variables hold the rows of all replicas, so a run can resume on another number of devices. A replica reads and
    writes its own rows.
    """

    def __init__(self, initial_state: Any, name: str | None = None):
        """Create the variables for a state like `initial_state`, whose values are not used.

        It is a nested structure of tensors [B, U] with a static shape. The names of the variables begin with `name`.
        """
        super().__init__(name=name)
        structure = tf.nest.map_structure(lambda tensor: tensor.dtype, initial_state)
        self._with_structure = partial(tf.nest.pack_sequence_as, structure)
        self.tensors = [
            self.add_weight(
                name=f"tensor_{number}",
                shape=tensor.shape,
                dtype=tensor.dtype,
                initializer="zeros",
                trainable=False,
                autocast=False,
            )
            for number, tensor in enumerate(tf.nest.flatten(initial_state))
        ]
        self.built = True

    def read(self, reset: tf.Tensor | bool) -> Any:
        """Return the state, in the structure of `initial_state`.

        If `reset`, bool [], is True, it is zero. The caller sets it for the first batch of an epoch.
        """
        rows = [take_rows(tensor.value) for tensor in self.tensors]
        tensors = [tf.where(reset, tf.zeros_like(tensor), tensor) for tensor in rows]
        return self._with_structure(tensors)

    def write(self, state: Any) -> None:
        """Store `state`, of the structure of `initial_state`, for the next batch."""
        for variable, tensor in zip(self.tensors, tf.nest.flatten(state), strict=True):
            variable.assign(gather_rows(tensor))
