"""Choosing the next symbol from a model's logits, and the compiled loop that does so again and again.

Shapes: B batch, T length, V vocabulary.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

State = Any
"""A structure of tensors that a model hands from one step to the next."""

NextStep = Callable[[tf.Tensor, State], tuple[tf.Tensor, State]]
"""One step of a model: ids [B] and state -> logits [B, V] and state."""


def restrict_logits(logits: tf.Tensor, top_k: tf.Tensor, top_p: tf.Tensor) -> tf.Tensor:
    """Set to minus infinity all but the `top_k` likeliest symbols, and of those all but the nucleus of mass `top_p`.

    The nucleus (Holtzman et al. 2020, arXiv:1904.09751) is the smallest set of likeliest symbols whose probabilities
    add up to `top_p` or more; it always holds at least one.

    Args:
        logits: float32 [B, V].
        top_k: int32 scalar; 0 keeps all.
        top_p: float32 scalar in (0, 1]; 1 keeps all.
    """
    vocabulary_size = tf.shape(logits)[-1]
    top_k = tf.where(top_k > 0, tf.minimum(top_k, vocabulary_size), vocabulary_size)
    ranked = tf.sort(logits, axis=-1, direction="DESCENDING")  # B V
    ranked = tf.where(tf.range(vocabulary_size) < top_k, ranked, -float("inf"))  # B V
    probabilities = tf.nn.softmax(ranked)  # B V
    mass_before = tf.cumsum(probabilities, axis=-1, exclusive=True)  # B V
    kept = (mass_before < top_p) & (ranked > -float("inf"))  # B V
    smallest_kept = tf.reduce_min(tf.where(kept, ranked, float("inf")), axis=-1, keepdims=True)  # B 1
    return tf.where(logits >= smallest_kept, logits, -float("inf"))


def sample(logits: tf.Tensor, temperature: tf.Tensor, top_k: tf.Tensor, top_p: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Draw one symbol a row from softmax(logits / temperature), restricted by `top_k` and `top_p`.

    Args:
        logits: float32 [B, V].
        temperature: float32 scalar; below 1 bolder, above 1 wilder, 0 always the likeliest.
        top_k: int32 scalar, see `restrict_logits`.
        top_p: float32 scalar, see `restrict_logits`.
        seed: int32 [2]; the same seed and logits give the same draw.

    Returns:
        ids, int32 [B].
    """
    scaled = restrict_logits(logits / tf.maximum(temperature, 1e-6), top_k, top_p)
    drawn = tf.random.stateless_categorical(scaled, 1, seed=seed, dtype=tf.int32)[:, 0]  # B
    likeliest = tf.argmax(logits, axis=-1, output_type=tf.int32)  # B
    return tf.where(temperature > 0, drawn, likeliest)


def sample_sequence(
    next_step: NextStep,
    logits: tf.Tensor,
    state: State,
    start: tf.Tensor,
    length: tf.Tensor,
    seed: tf.Tensor,
    temperature: tf.Tensor,
    top_k: tf.Tensor,
    top_p: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, State]:
    """Draw `length` symbols one after the other, each fed back to the model; call it inside a `tf.function`.

    Position t draws with the seed (seed, t), so a sequence made in pieces is the same as one made at once.

    Args:
        next_step: one step of the model.
        logits: float32 [B, V], the model's prediction of the first symbol.
        state: the model's state that goes with them.
        start: int32 scalar, the first position t.
        length: int32 scalar, T.
        seed: int32 scalar.
        temperature: see `sample`; likewise `top_k`, `top_p`.

    Returns:
        ids int32 [B, T], and the logits and state with which the next piece goes on.
    """

    def draw_one(t: tf.Tensor, logits: tf.Tensor, state: State, ids: tf.TensorArray):
        drawn = sample(logits, temperature, top_k, top_p, seed=tf.stack([seed, t]))  # B
        logits, state = next_step(drawn, state)
        return t + 1, logits, state, ids.write(t - start, drawn)

    ids = tf.TensorArray(tf.int32, size=length, element_shape=logits.shape[:1])
    _, logits, state, ids = tf.while_loop(
        lambda t, *_: t < start + length, draw_one, (tf.identity(start), logits, state, ids)
    )
    return tf.transpose(ids.stack()), logits, state  # B T
