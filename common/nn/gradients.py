"""From the loss on the tape to one step of the optimizer."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from common.nn.replicas import replica_count, sum_over_replicas


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

    `optimizer.apply_gradients` clips the gradients, if it has a `global_clipnorm`. With several replicas, the gradients
    of their shares are summed first.

    Raises:
        ValueError: the loss does not depend on one of the variables.
        RuntimeError: this version of Keras sums them in a method of another name, and would do so once more.
    """
    scale = optimizer.scale_loss(tf.ones_like(loss))
    gradients = tape.gradient(loss, variables, output_gradients=scale)
    if unused := [each.path for each, gradient in zip(variables, gradients, strict=True) if gradient is None]:
        raise ValueError(
            f"the loss does not depend on {', '.join(unused)}; use these weights in the call, or delete their layers"
        )
    gradients = [tf.convert_to_tensor(gradient) for gradient in gradients]
    if replica_count() > 1:
        gradients = sum_over_replicas(gradients)
        # Keras would sum them once more, after clipping.
        inner = inner_optimizer(optimizer)
        if not hasattr(inner, "_all_reduce_sum_gradients"):
            raise RuntimeError(
                f"Keras {keras.__version__} has no Optimizer._all_reduce_sum_gradients, so gradients would be summed "
                "twice; train on a single device, or install an older Keras"
            )
        inner._all_reduce_sum_gradients = list
    optimizer.apply_gradients(zip(gradients, variables, strict=True))


def inner_optimizer(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """Return the optimizer without the loss scaling that Keras wraps around it in float16."""
    return getattr(optimizer, "inner_optimizer", optimizer)
