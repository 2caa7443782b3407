"""Choosing the next symbol from a model's logits, and the compiled loops that do so again and again.

Sampling writes text that nobody has written before; beam search looks for the one likeliest sequence.

Shapes: B batch, T length, V vocabulary, K beam, C candidates, R rows that go on, N all their hypotheses, A what a step
gives to keep.
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
step for each sequence, float32 [N, A], for instance attention weights."""


class Hypotheses(NamedTuple):
    """What a search found for each row of a batch, the best first."""

    ids: tf.Tensor
    """int32 [B, K, T], filled up with the end symbol"""
    lengths: tf.Tensor
    """int32 [B, K], symbols of each, its end symbol included if it came to one"""
    scores: tf.Tensor
    """float32 [B, K], ln p(ids) / length ** length_penalty, falling"""
    kept: tf.Tensor
    """float32 [B, K, T, A], what the step gave to keep; zero beyond the length"""


class _Beam(NamedTuple):
    """The hypotheses of all rows, one below the other: N = B K of them, or fewer when rows have been dropped."""

    ids: tf.Tensor  # N T
    kept: tf.Tensor  # N T A
    lengths: tf.Tensor  # N
    log_p: tf.Tensor  # N, of all symbols of each
    latest: tf.Tensor  # N, the symbol to be read next
    finished: tf.Tensor  # N
    state: State  # N ...


def beam_search(
    step: SearchStep,
    state: State,
    memory: Any,
    start: int,
    end: int,
    max_lengths: tf.Tensor,
    room: tuple[tf.Tensor | int, tf.Tensor | int],
    beam: int = 1,
    length_penalty: tf.Tensor | float = 1.0,
) -> Hypotheses:
    """Search for the likeliest sequences, `beam` of them side by side; call it inside a `tf.function`.

    At each step every hypothesis is continued by its likeliest symbols, and of all continuations the best `beam` live
    on; a hypothesis that has come to its end stays as it is and competes by its score. The first place is reserved for
    the greedy choice: so `beam=1` is greedy search, and a larger beam never returns a lower score than greedy search.
    Whenever all hypotheses of a quarter of the rows are finished, the other rows go on in a smaller batch. A batch that
    is known to have one row keeps its shape, so XLA can compile its search.

    Args:
        step: one step of the model.
        state: tensors [B, ...], the state before the first step; it follows each hypothesis.
        memory: tensors [B, ...], handed to every step as they are: what the model looks at, and its mask.
        start: the symbol before the first.
        end: the symbol that ends a sequence.
        max_lengths: int32 [B], at least 1; a hypothesis of so many symbols is taken as finished.
        room: T and A, the size of the result: at least the greatest of `max_lengths`, and what a step gives to keep.
        beam: K.
        length_penalty: 0 compares log-probabilities, which favours the short; 1 compares their mean a symbol.
    """
    state, memory, most = tf.nest.map_structure(lambda x: tf.repeat(x, beam, axis=0), (state, memory, max_lengths))
    places, zeros = tf.range(tf.size(most)), tf.zeros_like(most)  # N
    now = _Beam(
        ids=tf.fill([tf.size(most), room[0]], end),
        kept=tf.zeros([tf.size(most), *room]),
        lengths=zeros,
        log_p=tf.where(places % beam == 0, 0.0, -float("inf")),  # all of a row start alike, so one may go on
        latest=zeros + start,
        finished=zeros > 0,
        state=state,
    )

    def going_on(now: _Beam) -> tf.Tensor:
        return tf.reduce_any(~tf.reshape(now.finished, [-1, beam]), axis=1)  # R

    def search(now: _Beam, memory: Any, most: tf.Tensor, enough: tf.Tensor | int) -> _Beam:
        """Extend all hypotheses until at most `enough` rows go on."""
        return tf.while_loop(
            lambda now: tf.math.count_nonzero(going_on(now), dtype=tf.int32) > enough,
            lambda now: [_extend(step, now, memory, most, end, beam, length_penalty)],
            [now],
        )[0]

    def search_and_drop(places: tf.Tensor, now: _Beam, memory: Any, most: tf.Tensor, found: _Beam):
        now = search(now, memory, most, tf.size(places) // beam * 3 // 4)
        found = tf.nest.map_structure(lambda x, new: tf.tensor_scatter_nd_update(x, places[:, None], new), found, now)
        left = tf.where(tf.repeat(going_on(now), beam))[:, 0]
        return *tf.nest.map_structure(lambda x: tf.gather(x, left), (places, now, memory, most)), found

    if max_lengths.shape[0] == 1:
        return _ranked(search(now, memory, most, enough=0), beam, length_penalty)
    at_work = places, now, memory, most
    shrinking = tf.nest.map_structure(lambda x: tf.TensorShape([None, *x.shape[1:]]), at_work)
    shapes = *shrinking, tf.nest.map_structure(lambda x: x.shape, now)
    *_, found = tf.while_loop(lambda places, *_: tf.size(places) > 0, search_and_drop, (*at_work, now), shapes)
    return _ranked(found, beam, length_penalty)


def _extend(
    step: SearchStep, now: _Beam, memory: Any, most: tf.Tensor, end: int, beam: int, length_penalty: tf.Tensor | float
) -> _Beam:
    """Return the best continuations of all hypotheses, one symbol longer unless finished."""
    logits, state, kept = step(now.latest, now.state, memory)  # N V, N ..., N A
    parents, symbols, log_p = _best_continuations(now, logits, beam, length_penalty)
    now, kept = tf.nest.map_structure(lambda x: tf.gather(x, parents), (now._replace(state=state), kept))
    grows = ~now.finished  # N
    is_here = (tf.range(tf.shape(now.ids)[1]) == now.lengths[:, None]) & grows[:, None]  # N T
    lengths = now.lengths + tf.cast(grows, tf.int32)
    return _Beam(
        ids=tf.where(is_here, symbols[:, None], now.ids),
        kept=tf.where(is_here[..., None], kept[:, None], now.kept),
        lengths=lengths,
        log_p=log_p,
        latest=symbols,
        finished=now.finished | (symbols == end) | (lengths >= most),
        state=now.state,
    )


def _best_continuations(
    now: _Beam, logits: tf.Tensor, beam: int, length_penalty: tf.Tensor | float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Return for each hypothesis one symbol later the place of the one that it continues, its symbol and its ln p."""
    candidates = min(beam, logits.shape[-1])
    log_p, symbols = tf.math.top_k(tf.nn.log_softmax(tf.cast(logits, tf.float32)), candidates)  # N C
    # A finished hypothesis has one continuation: itself.
    itself = tf.one_hot(0, candidates, on_value=0.0, off_value=-float("inf"))  # C
    log_p = now.log_p[:, None] + tf.where(now.finished[:, None], itself, log_p)  # N C
    lengths = now.lengths + tf.cast(~now.finished, tf.int32)  # N

    scores = tf.reshape(_score(log_p, lengths[:, None], length_penalty), [-1, beam * candidates])  # R KC
    # The likeliest continuation of the first hypothesis, which stands first, keeps the first place whatever its score.
    scores = tf.concat([tf.ones_like(scores[:, :1]) * float("inf"), scores[:, 1:]], axis=1)  # R KC
    chosen = tf.math.top_k(scores, beam).indices  # R K
    chosen += beam * candidates * tf.range(tf.shape(scores)[0])[:, None]
    chosen = tf.reshape(chosen, [-1])  # N, among all of N C
    return chosen // candidates, *(tf.gather(tf.reshape(x, [-1]), chosen) for x in (symbols, log_p))


def _score(log_p: tf.Tensor, lengths: tf.Tensor, length_penalty: tf.Tensor | float) -> tf.Tensor:
    return log_p / tf.cast(lengths, tf.float32) ** length_penalty


def _ranked(found: _Beam, beam: int, length_penalty: tf.Tensor | float) -> Hypotheses:
    """Return the hypotheses of each row, the best first."""
    scores = _score(found.log_p, found.lengths, length_penalty)  # N
    of_rows = [
        tf.reshape(x, tf.concat([[-1, beam], tf.shape(x)[1:]], axis=0))  # B K ...
        for x in (found.ids, found.lengths, scores, found.kept)
    ]
    order = tf.argsort(of_rows[2], direction="DESCENDING", stable=True)  # B K
    return Hypotheses(*(tf.gather(x, order, batch_dims=1) for x in of_rows))
