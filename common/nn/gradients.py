"""From the loss on the tape to one step of the optimizer."""

from collections.abc import Sequence

import keras
import tensorflow as tf


def apply_gradients(
    optimizer: keras.optimizers.Optimizer,
    tape: tf.GradientTape,
    loss: tf.Tensor,
    variables: Sequence[keras.Variable],
) -> None:
    """Compute the gradients of `loss`, a scalar that `tape` recorded, and let `optimizer` update `variables`.

    In float16 the loss is scaled, because small gradients would become zero; the optimizer undoes the scaling. The
    gradient of an embedding comes as (row, gradient) pairs, in which a frequent symbol occurs many times; converted to
    a dense tensor, the pairs of a row are summed, as the mathematics means.
    """
    scale = optimizer.scale_loss(tf.ones_like(loss))
    gradients = tape.gradient(loss, variables, output_gradients=scale)
    gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
    optimizer.apply_gradients(zip(gradients, variables, strict=True))
