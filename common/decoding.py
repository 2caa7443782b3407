"""Choosing the next symbol from a model's logits, and the compiled loops that do so again and again.

Sampling writes text that nobody has written before; beam search looks for the one likeliest sequence.

Shapes: B batch, T length, V vocabulary, K beam, C candidates.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

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


def draw_chances(seed: tf.Tensor | int, rows: int, length: tf.Tensor | int) -> tf.Tensor:
    """Return what decides the draws of `sample`, one number for each symbol of each row: float32 [T, B] from 0 to 1.

    Those of a row depend neither on how many rows there are nor on how long they are.
    """
    return tf.stack([tf.random.stateless_uniform([length], tf.stack([seed, row])) for row in range(rows)], axis=1)


def sample(
    logits: tf.Tensor, chances: tf.Tensor, temperature: tf.Tensor, top_k: tf.Tensor, top_p: tf.Tensor
) -> tf.Tensor:
    """Draw one symbol a row from softmax(logits / temperature), restricted by `top_k` and `top_p`.

    Args:
        logits: float32 [B, V].
        chances: float32 [B], from 0 to below 1: the share of the probability that comes before the symbol drawn.
        temperature: float32 scalar; below 1 bolder, above 1 wilder, 0 always the likeliest.
        top_k: int32 scalar, see `restrict_logits`.
        top_p: float32 scalar, see `restrict_logits`.

    Returns:
        ids, int32 [B].
    """
    scaled = logits / tf.maximum(temperature, 1e-6)  # B V
    is_restricted = (top_k > 0) | (top_p < 1)  # sorting takes longer than all the rest
    scaled = tf.cond(is_restricted, lambda: restrict_logits(scaled, top_k, top_p), lambda: scaled)  # B V
    mass = tf.cumsum(tf.nn.softmax(scaled), axis=-1)  # B V
    is_before = mass <= chances[:, None] * mass[:, -1:]  # B V
    drawn = tf.reduce_sum(tf.cast(is_before, tf.int32), axis=-1)  # B
    likeliest = tf.argmax(logits, axis=-1, output_type=tf.int32)  # B
    return tf.where(temperature > 0, drawn, likeliest)


def sample_sequence(
    next_step: NextStep,
    logits: tf.Tensor,
    state: State,
    chances: tf.Tensor,
    length: tf.Tensor,
    temperature: tf.Tensor,
    top_k: tf.Tensor,
    top_p: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, State]:
    """Draw `length` symbols one after the other, each fed back to the model; call it inside a `tf.function`.

    Args:
        next_step: one step of the model.
        logits: float32 [B, V], the model's prediction of the first symbol.
        state: the model's state that goes with them.
        chances: float32 [T, B], from `draw_chances`.
        length: int32 scalar, at most T; less where XLA compiles, which must know the size T of the result.
        temperature: see `sample`; likewise `top_k`, `top_p`.

    Returns:
        ids int32 [B, T], of which `length` are drawn, and the logits and state with which the next piece goes on.
    """

    def draw_one(t: tf.Tensor, logits: tf.Tensor, state: State, ids: tf.TensorArray):
        drawn = sample(logits, chances[t], temperature, top_k, top_p)  # B
        logits, state = next_step(drawn, state)
        return t + 1, logits, state, ids.write(t, drawn)

    ids = tf.TensorArray(tf.int32, tf.shape(chances)[0], element_shape=logits.shape[:1])
    _, logits, state, ids = tf.while_loop(lambda t, *_: t < length, draw_one, (tf.constant(0), logits, state, ids))
    return tf.transpose(ids.stack()), logits, state  # B T


SearchStep = Callable[[tf.Tensor, State, Any], tuple[tf.Tensor, State, tf.Tensor]]
"""One step of a model in a search: ids [N], state and memory -> logits [N, V], state, and what is to be kept of this
step for each sequence, float32 [N, ...], for instance attention weights."""


class Hypotheses(NamedTuple):
    """What a search found for each row of a batch, the best first."""

    ids: tf.Tensor
    """int32 [B, K, T], filled up with the end symbol"""
    lengths: tf.Tensor
    """int32 [B, K], symbols of each, its end symbol included if it came to one"""
    scores: tf.Tensor
    """float32 [B, K], ln p(ids) / length ** length_penalty, falling"""
    kept: tf.Tensor
    """float32 [B, K, T, ...], what the step gave to keep; zero beyond the length"""


class _Beam(NamedTuple):
    """The hypotheses under way, K for each row; all are [B, K]."""

    ids: tf.Tensor  # the latest symbol of each
    log_p: tf.Tensor  # float32, ln p of all its symbols
    lengths: tf.Tensor
    finished: tf.Tensor


class _Done(NamedTuple):
    """What is known of each hypothesis of each row in the end; both [B, K]."""

    log_p: tf.Tensor
    lengths: tf.Tensor


def beam_search(
    step: SearchStep,
    state: State,
    memory: Any,
    start: int,
    end: int,
    max_lengths: tf.Tensor,
    beam: int = 1,
    length_penalty: tf.Tensor | float = 1.0,
) -> Hypotheses:
    """Search for the likeliest sequences, `beam` of them side by side; call it inside a `tf.function`.

    At each step every hypothesis is continued by its likeliest symbols, and of all continuations the best `beam` live
    on; a hypothesis that has come to its end stays as it is and competes by its score. The first place is reserved for
    the greedy choice: so `beam=1` is greedy search, and a larger beam never returns a lower score than greedy search.
    A row whose hypotheses are all finished is dropped, and the others go on in a smaller batch.

    Args:
        step: one step of the model; row b * K + k of what it is given is hypothesis k of row b of those that go on.
        state: tensors [B, ...], the state before the first step; it follows each hypothesis.
        memory: tensors [B, ...], handed to every step as they are: what the model looks at, and its mask.
        start: the symbol before the first.
        end: the symbol that ends a sequence.
        max_lengths: int32 [B], at least 1; a hypothesis of so many symbols is taken as finished.
        beam: K.
        length_penalty: 0 compares log-probabilities, which favours the short; 1 compares their mean a symbol.
    """
    batch = tf.shape(max_lengths)[0]
    state, memory = tf.nest.map_structure(lambda x: tf.repeat(x, beam, axis=0), (state, memory))  # BK ...

    def of_rows(rows: tf.Tensor, of_each: Any, hypotheses: int = 1) -> Any:
        """Return of tensors [B * hypotheses, ...] what belongs to some rows."""
        places = tf.reshape(rows[:, None] * hypotheses + tf.range(hypotheses), [-1])
        return tf.nest.map_structure(lambda x: tf.gather(x, places), of_each)

    def extend(t: tf.Tensor, rows: tf.Tensor, at_work: tuple, done: _Done, history: list[tf.TensorArray]):
        now, state, memory, most = at_work
        logits, new_state, kept = step(tf.reshape(now.ids, [-1]), state, memory)  # RK V, R being the rows that go on
        parents, new = _best_continuations(now, logits, end, length_penalty)
        new = new._replace(finished=new.finished | (t + 1 >= most[:, None]))
        state = of_rows(tf.reshape(parents + beam * tf.range(tf.size(rows))[:, None], [-1]), new_state)  # RK ...

        done = _Done(*(tf.tensor_scatter_nd_update(x, rows[:, None], y) for x, y in zip(done, new[1:3], strict=True)))
        kept = tf.reshape(kept, tf.concat([[tf.size(rows), beam], tf.shape(kept)[1:]], axis=0))  # R K ...
        steps = [
            tf.tensor_scatter_nd_update(tf.zeros([batch, beam], tf.int32) + default, rows[:, None], x)  # B K
            for default, x in ((end, new.ids), (tf.range(beam), parents))
        ]
        steps.append(tf.scatter_nd(rows[:, None], kept, tf.concat([[batch], tf.shape(kept)[1:]], axis=0)))  # B K ...

        def drop_finished():
            left = tf.cast(tf.where(~tf.reduce_all(new.finished, axis=1))[:, 0], tf.int32)
            now, most_left, rows_left = of_rows(left, (new, most, rows))
            return rows_left, (now, *of_rows(left, (state, memory), beam), most_left)

        any_finished = tf.reduce_any(tf.reduce_all(new.finished, axis=1))
        rows, at_work = tf.cond(any_finished, drop_finished, lambda: (rows, (new, state, memory, most)))
        return t + 1, rows, at_work, done, [array.write(t, x) for array, x in zip(history, steps, strict=True)]

    zeros = tf.zeros([batch, beam], tf.int32)
    only_first = tf.one_hot(0, beam, on_value=0.0, off_value=-float("inf"))  # K; all start alike, so one may go on
    now = _Beam(zeros + start, tf.zeros([batch, beam]) + only_first, zeros, zeros > 0)
    at_work = (now, state, memory, max_lengths)
    history = [
        tf.TensorArray(dtype, 0, dynamic_size=True, element_shape=shape)
        for dtype, shape in ((tf.int32, zeros.shape), (tf.int32, zeros.shape), (tf.float32, None))
    ]
    shrinking = tf.nest.map_structure(lambda x: tf.TensorShape([None, *x.shape[1:]]), (tf.range(batch), at_work))
    _, _, _, done, history = tf.while_loop(
        lambda t, rows, *_: tf.size(rows) > 0,
        extend,
        (tf.constant(0), tf.range(batch), at_work, _Done(now.log_p, zeros), history),
        shape_invariants=(tf.TensorShape([]), *shrinking, _Done(*[zeros.shape] * 2), [tf.TensorShape(None)] * 3),
    )
    ids, parents, kept = (array.stack() for array in history)  # T B K, T B K, T B K ...
    return _trace_back(ids, parents, kept, done.lengths, _score(done.log_p, done.lengths, length_penalty))


def _score(log_p: tf.Tensor, lengths: tf.Tensor, length_penalty: tf.Tensor | float) -> tf.Tensor:
    return log_p / tf.cast(lengths, tf.float32) ** length_penalty


def _best_continuations(
    now: _Beam, logits: tf.Tensor, end: int, length_penalty: tf.Tensor | float
) -> tuple[tf.Tensor, _Beam]:
    """Return for each hypothesis one symbol later the place of the one that it continues, [B, K], and all of them."""
    beam, candidates = now.ids.shape[1], min(now.ids.shape[1], logits.shape[-1])
    shape = [-1, beam, candidates]
    log_p, symbols = tf.math.top_k(tf.nn.log_softmax(tf.cast(logits, tf.float32)), candidates)  # BK C
    log_p, symbols = tf.reshape(log_p, shape), tf.reshape(symbols, shape)  # B K C
    # A finished hypothesis has one continuation: itself.
    itself = tf.one_hot(0, candidates, on_value=0.0, off_value=-float("inf"))  # C
    log_p = now.log_p[..., None] + tf.where(now.finished[..., None], itself, log_p)  # B K C
    symbols = tf.where(now.finished[..., None], end, symbols)  # B K C
    lengths = now.lengths + tf.cast(~now.finished, tf.int32)  # B K

    scores = tf.reshape(_score(log_p, lengths[..., None], length_penalty), [-1, beam * candidates])  # B KC
    # The likeliest continuation of the first hypothesis, which stands first, keeps the first place whatever its score.
    scores = tf.concat([tf.ones_like(scores[:, :1]) * float("inf"), scores[:, 1:]], axis=1)  # B KC
    chosen = tf.math.top_k(scores, beam).indices  # B K
    parents = chosen // candidates  # B K
    ids = tf.gather(tf.reshape(symbols, [-1, beam * candidates]), chosen, batch_dims=1)  # B K
    log_p = tf.gather(tf.reshape(log_p, [-1, beam * candidates]), chosen, batch_dims=1)  # B K
    finished = tf.gather(now.finished, parents, batch_dims=1) | (ids == end)
    return parents, _Beam(ids, log_p, tf.gather(lengths, parents, batch_dims=1), finished)


def _trace_back(
    ids: tf.Tensor, parents: tf.Tensor, kept: tf.Tensor, lengths: tf.Tensor, scores: tf.Tensor
) -> Hypotheses:
    """Follow each hypothesis from its end to its start through what was written at each step, [T, B, K, ...]."""
    order = tf.argsort(scores, direction="DESCENDING", stable=True)  # B K
    places = tf.scan(lambda place, at: tf.gather(at, place, batch_dims=1), parents, order, reverse=True)  # T B K
    ids = tf.gather(ids, tf.concat([places[1:], order[None]], axis=0), batch_dims=2)  # T B K; written after the choice
    kept = tf.gather(kept, places, batch_dims=2)  # T B K ...; written before it
    lengths, scores = (tf.gather(x, order, batch_dims=1) for x in (lengths, scores))  # B K
    is_inside = tf.sequence_mask(lengths, tf.shape(ids)[0], tf.float32)  # B K T
    return Hypotheses(
        tf.transpose(ids, [1, 2, 0]), lengths, scores, tf.einsum("tbk...,bkt->bkt...", kept, is_inside)
    )  # B K T ...
