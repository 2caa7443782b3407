"""Muon, the optimizer that gives every direction of a weight matrix a step of the same length, for recurrent layers.

The gradient of a matrix is mostly a few directions: its few largest singular values are far above all the others. So
are the steps that momentum, or Adam, computes from it, and the small directions are learned late. Muon (Jordan et al.
2024, kellerjordan.github.io/posts/muon) takes the momentum M = U S V^T, with S its singular values, and steps along
U V^T. No singular values need to be computed. The iteration of Newton and Schulz

    X <- a X + (b X X^T + c (X X^T)^2) X         from X = M / |M|, with a, b, c = 3.4445, -4.7750, 2.0315

moves them all to between 0.7 and 1.2 in five turns, with matrix products alone. Three turns are made here: they cost
less, and are as good in a short run.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf

from common.nn import adam
from common.nn.layer_rates import LayerRates

NEWTON_SCHULZ = 3.4445, -4.7750, 2.0315
TURNS = 3  # Keras has 5
MOMENTUM = 0.95
EPSILON = 1e-7  # of Adam


@keras.saving.register_keras_serializable("eager_examples")
class Muon(LayerRates):
    """Muon for the matrices of a model, Adam for everything else; every gate of a recurrent layer has its own step.

    A GRU keeps the matrices of its two gates and its candidate side by side in one variable [*, 3U], an LSTM those of
    its three gates and its candidate. They are recognised by `gru_cell` or `lstm_cell` in the path of the variable, as
    in the layers of Keras and in `common.nn.attention_gru.AttentionGRUCell`. What the gates learn has little to do with
    each other, so each is a matrix of its own here: 1.497 nats per character instead of 1.521 after 245 steps of a GRU
    of 1,024 units, one seed each. The products are in the arithmetic of the layers, and so in bfloat16 where these are.

    Adam updates biases, embeddings, and the variables that `exclude_layers` names. `keras.optimizers.Muon` with
    as many turns computes the same steps where nothing is side by side, but its arguments differ between the versions
    of Keras.
    """

    def __init__(
        self,
        learning_rate,
        *,
        rms_rate: float | Callable[[], tf.Tensor] = 0.2,
        every: int = 1,
        exclude_layers: Sequence[str] = (),
        adam_beta_2: float = 0.999,
        **settings,
    ):
        """Plan the steps.

        Args:
            learning_rate: Adam's rate; Muon's steps have `rms_rate` times this as their root mean square.
            rms_rate: a number, or a function that is asked for it, a scalar, at every step.
            every: with 4, Muon updates its matrices at every fourth training step, four times as far; in between, its
                momentum gathers the gradients. Most of its time is saved. Adam updates the rest at every step.
            exclude_layers: regular expressions for LAYER/VARIABLE, the names of what Adam updates.
            adam_beta_2: the decay of Adam's second average; the first decays by 0.9.
            settings: the further arguments of `keras.optimizers.Optimizer`, such as `weight_decay`.
        """
        super().__init__(learning_rate, name="muon", **settings)
        self.rms_rate = rms_rate if callable(rms_rate) else lambda: rms_rate
        self.every, self.exclude_layers, self.adam_betas = every, exclude_layers, (0.9, adam_beta_2)
        self._precision = keras.config.dtype_policy().compute_dtype

    def get_config(self) -> dict[str, Any]:
        """Return the arguments, so that Keras can save and load the optimizer; `rms_rate` as the number it is now."""
        config = super().get_config() | {"rms_rate": float(self.rms_rate()), "every": self.every}
        config |= {"exclude_layers": [*self.exclude_layers], "adam_beta_2": self.adam_betas[1]}
        del config["name"]
        return config

    def build(self, variables: list[keras.Variable]) -> None:
        """Create the momentum of all `variables`, and Adam's second average for those that it updates."""
        if self.built:
            return
        super().build(variables)
        self._momentums, self.adam_velocities = [], []
        for variable in variables:
            self._momentums.append(self.add_variable_from_reference(variable, name="momentum"))
            second = self.add_variable_from_reference(variable, name="velocity") if self._is_adams(variable) else None
            self.adam_velocities.append(second)
        self._gates = [_gates(variable) for variable in variables]

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """Step one variable: Adam's step or Muon's."""
        learning_rate = self.rate_of(variable, learning_rate)
        self.decay_weights(variable, learning_rate)
        index = self._get_variable_index(variable)
        momentum, velocity = self._momentums[index], self.adam_velocities[index]
        if velocity is not None:
            moments = momentum, velocity
            adam.step(variable, gradient, moments, self.iterations, learning_rate, self.adam_betas, EPSILON)
            return
        self.assign(momentum, gradient + MOMENTUM * momentum)

        def step() -> None:
            ahead = gradient + MOMENTUM * momentum  # Nesterov: the momentum if the next gradient is the same
            gates = [self.orthogonalise(matrix) for matrix in tf.split(ahead, self._gates[index], axis=1)]
            self.assign_sub(variable, self.every * tf.cast(learning_rate, variable.dtype) * tf.concat(gates, axis=1))

        is_due = tf.cast(self.iterations, tf.int32) % self.every == self.every - 1
        tf.cond(is_due, step, lambda: None)

    def orthogonalise(self, matrix: tf.Tensor) -> tf.Tensor:
        """Return about U V^T of `matrix` [N, M] = U S V^T, scaled to a root mean square of `rms_rate`."""
        a, b, c = NEWTON_SCHULZ
        is_tall = matrix.shape[0] > matrix.shape[1]
        x = tf.cast(matrix / (tf.norm(matrix) + 1e-12), self._precision)
        x = tf.transpose(x) if is_tall else x  # X X^T is the smaller of the two products
        for _ in range(TURNS):
            product = tf.matmul(x, x, transpose_b=True)
            x = a * x + tf.matmul(b * product + c * tf.matmul(product, product), x)
        x = tf.transpose(x) if is_tall else x
        return tf.cast(x, matrix.dtype) * self.rms_rate() * math.sqrt(max(matrix.shape))

    def _is_adams(self, variable: keras.Variable) -> bool:
        """Return whether Adam updates a variable: no matrix, an embedding, or one that is excluded.

        A GRU has two rows of biases, which look like a matrix. Only the names of layer and variable count, not that
        of the model.
        """
        patterns = ["embedding", "bias", *self.exclude_layers]
        path = "/".join(variable.path.split("/")[-2:])
        return len(variable.shape) != 2 or any(re.search(pattern, path) for pattern in patterns)


def _gates(variable: keras.Variable) -> int:
    """Return how many matrices stand side by side in a variable of recurrent layers; 1 in any other."""
    counts = {"gru_cell": 3, "lstm_cell": 4}
    return next((count for cell, count in counts.items() if re.search(rf"{cell}(_\d+)?/", variable.path)), 1)
