"""Sampling text: top-k and top-p filtering, one draw from the logits, and the compiled loop that draws a whole text.

Shapes: B batch, T length, V vocabulary.
"""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

State = Any
"""A structure of tensors that a model returns with one step and takes at the next."""

DecodeStep = Callable[[tf.Tensor, State], tuple[tf.Tensor, State]]
"""One step of a model: ids [B] and state -> logits [B, V] and state."""


def filter_top_k_top_p(logits: tf.Tensor, top_k: tf.Tensor, top_p: tf.Tensor) -> tf.Tensor:
    """Set to minus infinity all but the `top_k` likeliest symbols, and of those all but the nucleus of mass `top_p`.

    Symbols as likely as the last one that is kept are kept as well.

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
    kept = ((mass_before == 0) | (mass_before < top_p)) & (ranked > -float("inf"))  # B V
    smallest_kept = tf.reduce_min(tf.where(kept, ranked, float("inf")), axis=-1, keepdims=True)  # B 1
    return tf.where(logits >= smallest_kept, logits, -float("inf"))


def uniform_noise(seed: tf.Tensor | int, rows: int, length: tf.Tensor | int) -> tf.Tensor:
    """Return the uniform random numbers that `sample_categorical` needs, float32 [T, B] in [0, 1).

    Each row has its own seed: its numbers do not depend on the number of rows or on the length.
    """
    return tf.stack([tf.random.stateless_uniform([length], tf.stack([seed, row])) for row in range(rows)], axis=1)


def sample_categorical(
    logits: tf.Tensor, uniforms: tf.Tensor, temperature: tf.Tensor, top_k: tf.Tensor, top_p: tf.Tensor
) -> tf.Tensor:
    """Draw one symbol a row, int32 [B], from softmax(logits / temperature), restricted by `top_k` and `top_p`.

    Args:
        logits: float32 [B, V].
        uniforms: float32 [B], in [0, 1): the first symbol is drawn whose cumulative probability exceeds it (inverse
            transform sampling).
        temperature: float32 scalar; below 1 more repetitive, above 1 more random, 0: the likeliest.
        top_k: int32 scalar, see `filter_top_k_top_p`.
        top_p: float32 scalar, see `filter_top_k_top_p`.
    """
    scaled = logits / tf.maximum(temperature, 1e-6)  # B V
    is_restricted = (top_k > 0) | (top_p < 1)  # sorting takes longer than all the rest
    scaled = tf.cond(is_restricted, lambda: filter_top_k_top_p(scaled, top_k, top_p), lambda: scaled)  # B V
    mass = tf.cumsum(tf.nn.softmax(scaled), axis=-1)  # B V
    is_before = mass <= uniforms[:, None] * mass[:, -1:]  # B V
    drawn = tf.reduce_sum(tf.cast(is_before, tf.int32), axis=-1)  # B
    likeliest = tf.argmax(logits, axis=-1, output_type=tf.int32)  # B
    return tf.where(temperature > 0, drawn, likeliest)


def sample_sequence(
    decode_step: DecodeStep,
    logits: tf.Tensor,
    state: State,
    uniforms: tf.Tensor,
    length: tf.Tensor,
    temperature: tf.Tensor,
    top_k: tf.Tensor,
    top_p: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, State]:
    """Draw `length` symbols one after the other, each fed back to the model; call it inside a `tf.function`.

    Args:
        decode_step: one step of the model.
        logits: float32 [B, V], the model's prediction of the first symbol.
        state: the model's state that goes with them.
        uniforms: float32 [T, B], from `uniform_noise`.
        length: int32 scalar, at most T. XLA must know the size of its result, so there T is fixed and `length` may be
            smaller.
        temperature: see `sample_categorical`; likewise `top_k`, `top_p`.

    Returns:
        ids int32 [B, T], of which `length` are drawn, and the logits and state with which the next piece goes on.
    """

    def draw_one(t: tf.Tensor, logits: tf.Tensor, state: State, ids: tf.TensorArray):
        drawn = sample_categorical(logits, uniforms[t], temperature, top_k, top_p)  # B
        logits, state = decode_step(drawn, state)
        return t + 1, logits, state, ids.write(t, drawn)

    ids = tf.TensorArray(tf.int32, tf.shape(uniforms)[0], element_shape=logits.shape[:1])
    _, logits, state, ids = tf.while_loop(lambda t, *_: t < length, draw_one, (tf.constant(0), logits, state, ids))
    return tf.transpose(ids.stack()), logits, state  # B T
