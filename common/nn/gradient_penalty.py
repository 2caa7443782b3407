"""The R1 gradient penalty, which keeps a discriminator from separating real from fake images too sharply."""

import keras
import tensorflow as tf

from common.nn.batch_norm import on_whole_batch
from common.nn.replicas import gather_rows, replica_count

INTERVAL = 4
"""Steps from one penalty to the next."""


def r1_penalty(discriminator: keras.Model, real: tf.Tensor) -> tf.Tensor:
    """Return 1/2 E[|grad D(x)|^2] over real images x, a scalar float32 (R1, Mescheder et al. 2018, equation 9).

    D is the logit, arXiv:1801.04406: `discriminator` maps images like `real`, float32 [B, H, W, C], to float32 [B, 1].
    As batch norm sees the whole batch, the gradient is that of the sum of all logits.
    """
    with tf.GradientTape() as tape:
        tape.watch(real)
        logits = discriminator(real, training=True)  # B 1
    gradients = tape.gradient(logits, real)  # B H W C
    return tf.reduce_mean(tf.reduce_sum(gradients**2, axis=[1, 2, 3])) / 2


def lazy_r1_penalty(discriminator: keras.Model, real: tf.Tensor, gamma: float, step: tf.Tensor) -> tf.Tensor:
    """Return `gamma` times `r1_penalty` times `INTERVAL` if `step`, of the optimizer, is a multiple of it, else 0.

    The gradient of a gradient takes about half as long as the rest of the step. In the mean over the steps, the lazy
    penalty is the same as one in each step (lazy regularization, Karras et al. 2020, arXiv:1912.04958). With `gamma` 0
    there is none.

    Each of several replicas computes the penalty of the whole batch and returns its share. The reason is batch norm:
    TensorFlow allows no all-reduce in a branch, and the second derivatives of several all-reduces are wrong.
    """
    none = tf.zeros([], real.dtype)
    if not gamma:
        return none
    whole, weight = gather_rows(real), INTERVAL * gamma / replica_count()
    with on_whole_batch():
        return tf.cond(step % INTERVAL == 0, lambda: weight * r1_penalty(discriminator, whole), lambda: none)
