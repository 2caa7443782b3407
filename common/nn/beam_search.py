"""Beam search: the likeliest sequences of a model, found with several hypotheses side by side.

Shapes: B batch, T length, V vocabulary, K beam width, C candidates, R rows still active, N = R K hypotheses,
A width of the attention weights of one step.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

State = Any
"""A structure of tensors that a model returns with one step and takes at the next."""

DecodeStep = Callable[[tf.Tensor, State, Any], tuple[tf.Tensor, State, tf.Tensor]]
"""One step of a model in a search: ids [N], state and memory -> logits [N, V], state, and
the attention weights of this step, float32 [N, A]."""


class Hypotheses(NamedTuple):
    """The hypotheses for each row of a batch, the best first."""

    ids: tf.Tensor
    """int32 [B, K, T], padded with the end symbol"""
    lengths: tf.Tensor
    """int32 [B, K], number of symbols, the end symbol included if there is one"""
    scores: tf.Tensor
    """float32 [B, K], ln p(ids) / length ** length_penalty, falling"""
    attention: tf.Tensor
    """float32 [B, K, T, A], attention weights of each step; zero beyond the length"""


class _Beam(NamedTuple):
    """The hypotheses of all active rows: N = R K."""

    ids: tf.Tensor  # N T
    attention: tf.Tensor  # N T A
    lengths: tf.Tensor  # N
    log_p: tf.Tensor  # N, of all symbols of each
    last_ids: tf.Tensor  # N, the input of the next step
    finished: tf.Tensor  # N
    state: State  # N ...


def beam_search(
    step: DecodeStep,
    state: State,
    memory: Any,
    start: int,
    end: int,
    max_lengths: tf.Tensor,
    output_shape: tuple[tf.Tensor | int, tf.Tensor | int],
    beam: int = 1,
    length_penalty: tf.Tensor | float = 1.0,
    forbidden: Sequence[int] = (),
) -> Hypotheses:
    """Search for the likeliest sequences, `beam` of them side by side; call it inside a `tf.function`.

    Each step extends every hypothesis by its likeliest symbols and keeps the best `beam` of all continuations. A
    finished hypothesis stays as it is and competes by its score with the extensions of the others. The first place is
    reserved for the greedy choice: `beam=1` is greedy search, and a larger beam never returns a lower score than greedy
    search. Whenever a quarter of the rows are finished, the batch is compacted to the others. A batch of one row keeps
    its static shape, so XLA can compile the search.

    Args:
        step: one step of the model.
        state: tensors [B, ...], the state before the first step; it follows each hypothesis.
        memory: tensors [B, ...], passed to every step unchanged: the encoder outputs to attend to, and their mask.
        start: the symbol before the first.
        end: the symbol that ends a sequence.
        max_lengths: int32 [B], at least 1; a hypothesis of this length counts as finished.
        output_shape: (T, A) of the result: at least the maximum of `max_lengths`, and the width of the
            attention weights.
        beam: K.
        length_penalty: 0 compares log-probabilities, which favours short sequences; 1 compares the mean per symbol.
        forbidden: symbols that are never chosen; the probabilities of the others are divided by their sum.
    """
    step = _without(step, forbidden) if forbidden else step
    has_one_row = max_lengths.shape[0] == 1
    state, memory, max_lengths = tf.nest.map_structure(
        lambda x: tf.repeat(x, beam, axis=0), (state, memory, max_lengths)
    )
    indices, zeros = tf.range(tf.size(max_lengths)), tf.zeros_like(max_lengths)  # N
    beams = _Beam(
        ids=tf.fill([tf.size(max_lengths), output_shape[0]], end),
        attention=tf.zeros([tf.size(max_lengths), *output_shape]),
        lengths=zeros,
        log_p=tf.where(indices % beam == 0, 0.0, -float("inf")),  # a row starts with one hypothesis
        last_ids=zeros + start,
        finished=zeros > 0,
        state=state,
    )

    def active_rows(beams: _Beam) -> tf.Tensor:
        return tf.reduce_any(~tf.reshape(beams.finished, [-1, beam]), axis=1)  # R

    def search(beams: _Beam, memory: Any, max_lengths: tf.Tensor, max_active: tf.Tensor | int) -> _Beam:
        """Extend all hypotheses until at most `max_active` rows are unfinished."""
        return tf.while_loop(
            lambda beams: tf.math.count_nonzero(active_rows(beams), dtype=tf.int32) > max_active,
            lambda beams: [_beam_step(step, beams, memory, max_lengths, end, beam, length_penalty)],
            [beams],
        )[0]

    def search_and_compact(indices: tf.Tensor, beams: _Beam, memory: Any, max_lengths: tf.Tensor, results: _Beam):
        beams = search(beams, memory, max_lengths, tf.size(indices) // beam * 3 // 4)
        results = tf.nest.map_structure(
            lambda x, new: tf.tensor_scatter_nd_update(x, indices[:, None], new), results, beams
        )
        remaining = tf.where(tf.repeat(active_rows(beams), beam))[:, 0]
        return *tf.nest.map_structure(lambda x: tf.gather(x, remaining), (indices, beams, memory, max_lengths)), results

    if has_one_row:
        return _sort_by_score(search(beams, memory, max_lengths, max_active=0), beam, length_penalty)
    active = indices, beams, memory, max_lengths
    shrinking = tf.nest.map_structure(lambda x: tf.TensorShape([None, *x.shape[1:]]), active)
    shapes = *shrinking, tf.nest.map_structure(lambda x: x.shape, beams)
    *_, results = tf.while_loop(lambda indices, *_: tf.size(indices) > 0, search_and_compact, (*active, beams), shapes)
    return _sort_by_score(results, beam, length_penalty)


def _without(step: DecodeStep, forbidden: Sequence[int]) -> DecodeStep:
    """Return `step` with logits of minus infinity for the symbols in `forbidden`."""

    def masked_step(ids: tf.Tensor, state: State, memory: Any) -> tuple[tf.Tensor, State, tf.Tensor]:
        logits, state, attention = step(ids, state, memory)
        is_forbidden = np.isin(np.arange(logits.shape[-1]), forbidden)  # V
        return tf.where(is_forbidden, -float("inf"), tf.cast(logits, tf.float32)), state, attention

    return masked_step


def _beam_step(
    step: DecodeStep,
    beams: _Beam,
    memory: Any,
    max_lengths: tf.Tensor,
    end: int,
    beam: int,
    length_penalty: tf.Tensor | float,
) -> _Beam:
    """Return the best continuations of all hypotheses, one symbol longer unless finished."""
    logits, state, attention = step(beams.last_ids, beams.state, memory)  # N V, N ..., N A
    parents, symbols, log_p = _best_continuations(beams, logits, beam, length_penalty)
    beams, attention = tf.nest.map_structure(lambda x: tf.gather(x, parents), (beams._replace(state=state), attention))
    grows = ~beams.finished  # N
    is_here = (tf.range(tf.shape(beams.ids)[1]) == beams.lengths[:, None]) & grows[:, None]  # N T
    lengths = beams.lengths + tf.cast(grows, tf.int32)
    return _Beam(
        ids=tf.where(is_here, symbols[:, None], beams.ids),
        attention=tf.where(is_here[..., None], attention[:, None], beams.attention),
        lengths=lengths,
        log_p=log_p,
        last_ids=symbols,
        finished=beams.finished | (symbols == end) | (lengths >= max_lengths),
        state=beams.state,
    )


def _best_continuations(
    beams: _Beam, logits: tf.Tensor, beam: int, length_penalty: tf.Tensor | float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return the parent index, the symbol and ln p of the best continuations, each [N]."""
    candidates = min(beam, logits.shape[-1])
    log_p, symbols = tf.math.top_k(tf.nn.log_softmax(tf.cast(logits, tf.float32)), candidates)  # N C
    # A finished hypothesis has a single continuation, itself.
    itself = tf.one_hot(0, candidates, on_value=0.0, off_value=-float("inf"))  # C
    log_p = beams.log_p[:, None] + tf.where(beams.finished[:, None], itself, log_p)  # N C
    lengths = beams.lengths + tf.cast(~beams.finished, tf.int32)  # N

    scores = tf.reshape(_score(log_p, lengths[:, None], length_penalty), [-1, beam * candidates])  # R KC
    # The greedy choice, candidate 0 of hypothesis 0, keeps its place whatever its score.
    scores = tf.concat([tf.ones_like(scores[:, :1]) * float("inf"), scores[:, 1:]], axis=1)  # R KC
    chosen = tf.math.top_k(scores, beam).indices  # R K
    chosen += beam * candidates * tf.range(tf.shape(scores)[0])[:, None]
    chosen = tf.reshape(chosen, [-1])  # N, among all of N C
    return chosen // candidates, *(tf.gather(tf.reshape(x, [-1]), chosen) for x in (symbols, log_p))


def _score(log_p: tf.Tensor, lengths: tf.Tensor, length_penalty: tf.Tensor | float) -> tf.Tensor:
    return log_p / tf.cast(lengths, tf.float32) ** length_penalty


def _sort_by_score(results: _Beam, beam: int, length_penalty: tf.Tensor | float) -> Hypotheses:
    """Return the hypotheses of each row, the best first."""
    scores = _score(results.log_p, results.lengths, length_penalty)  # N
    by_row = [
        tf.reshape(x, tf.concat([[-1, beam], tf.shape(x)[1:]], axis=0))  # B K ...
        for x in (results.ids, results.lengths, scores, results.attention)
    ]
    order = tf.argsort(by_row[2], direction="DESCENDING", stable=True)  # B K
    return Hypotheses(*(tf.gather(x, order, batch_dims=1) for x in by_row))
