"""Learning rates that differ between the layers of a model, for fine-tuning.

From ULMFiT (Howard and Ruder 2018, arXiv:1801.06146): *discriminative* rates, which are divided by a factor from each
layer to the one below it, and *gradual unfreezing*, by which the last layer is trained first and the others join it one
by one. Lower layers hold what is common to all texts, so they need to change less.
"""

from collections.abc import Sequence

import keras
import tensorflow as tf


class LayerRates(keras.optimizers.Optimizer):
    """An optimizer, mixed into another class, whose learning rate can differ between layers."""

    layer_numbers: dict[str, int] | None = None  # by the key of a variable, equal on all devices; None: one rate

    def set_layer_rates(
        self, layers: Sequence[keras.layers.Layer], factor: float = 1.0, steps_per_layer: int = 0
    ) -> None:
        """Give each of `layers` its own rate.

        Args:
            layers: all layers with weights, from the output down to the input.
            factor: from each layer to the next, the rate is divided by this; 2.6 in the paper.
            steps_per_layer: layer number n, from 0, is frozen until step n times this; 0: none is.
        """
        self.layer_numbers = {
            self._var_key(weight): n for n, layer in enumerate(layers) for weight in layer.trainable_variables
        }
        self.factor, self.steps_per_layer = factor, steps_per_layer

    def rate_of(self, variable: keras.Variable | tf.Variable, learning_rate: tf.Tensor) -> tf.Tensor:
        """Return the learning rate of a variable at this step; 0 while it is frozen.

        Raises:
            ValueError: layer rates are set, but not for its layer.
        """
        if self.layer_numbers is None:
            return learning_rate
        n = self.layer_numbers.get(self._var_key(variable))
        if n is None:
            path = self._trainable_variables[self._get_variable_index(variable)].path
            raise ValueError(f"{path} is in none of the layers given to set_layer_rates; give all layers with weights")
        is_free = tf.cast(self.iterations, tf.int64) >= n * self.steps_per_layer
        return learning_rate * self.factor**-n * tf.cast(is_free, learning_rate.dtype)

    def _apply_weight_decay(self, variables: Sequence[keras.Variable]) -> None:
        if self.layer_numbers is None:
            super()._apply_weight_decay(variables)

    def decay_weights(self, variable: keras.Variable | tf.Variable, rate: tf.Tensor) -> None:
        """Apply weight decay to a variable at the `rate` of its layer; without layer rates Keras has applied it."""
        if self.layer_numbers is not None and self.weight_decay and self._use_weight_decay(variable):
            self.assign_sub(variable, variable * (self.weight_decay * rate))
