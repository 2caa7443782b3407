import itertools

import numpy as np
import pytest
import tensorflow as tf

from common.nn.beam_search import Hypotheses, beam_search
from common.nn.sampling import filter_top_k_top_p, sample_categorical, sample_sequence, uniform_noise

LOGITS = np.log(np.array([[0.5, 0.3, 0.15, 0.05], [0.05, 0.15, 0.3, 0.5]], "float32"))


def draw(logits=LOGITS[:1], temperature=1.0, top_k=0, top_p=1.0, count=4000, seed=1):
    rows = tf.repeat(tf.constant(logits), count, axis=0)
    uniforms = uniform_noise(seed, 1, count)[:, 0]
    ids = sample_categorical(rows, uniforms, tf.constant(temperature), tf.constant(top_k), tf.constant(top_p))
    return np.bincount(ids.numpy(), minlength=logits.shape[1]) / count


def kept(top_k=0, top_p=1.0):
    restricted = filter_top_k_top_p(tf.constant(LOGITS), tf.constant(top_k), tf.constant(top_p)).numpy()
    return [list(np.flatnonzero(np.isfinite(row))) for row in restricted]


@pytest.mark.parametrize(
    ("top_k", "expected"), [(0, [[0, 1, 2, 3]] * 2), (1, [[0], [3]]), (2, [[0, 1], [2, 3]]), (9, [[0, 1, 2, 3]] * 2)]
)
def test_top_k_keeps_the_likeliest(top_k, expected):
    assert kept(top_k=top_k) == expected


@pytest.mark.parametrize(
    ("top_p", "expected"),
    [(0.0, [[0], [3]]), (0.01, [[0], [3]]), (0.5, [[0], [3]]), (0.6, [[0, 1], [2, 3]]), (0.9, [[0, 1, 2], [1, 2, 3]])],
)
def test_top_p_keeps_the_smallest_set_with_that_mass(top_p, expected):
    assert kept(top_p=top_p) == expected


def test_top_p_is_taken_of_what_top_k_left():
    assert kept(top_k=2, top_p=0.62) == [[0], [3]]  # 0.5 of 0.8 is 0.625


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_are_those_of_the_tempered_distribution(temperature):
    expected = np.exp(LOGITS[0] / temperature) / np.exp(LOGITS[0] / temperature).sum()
    assert draw(temperature=temperature) == pytest.approx(expected, abs=0.03)


def test_top_p_is_taken_of_the_tempered_distribution():
    assert list(draw(temperature=0.5, top_p=0.6)) == [1, 0, 0, 0]  # its first symbol has 0.25 of 0.365, which is 0.68
    assert (draw(temperature=1.0, top_p=0.6) > 0).tolist() == [True, True, False, False]


def test_temperature_zero_takes_the_likeliest():
    assert list(draw(temperature=0.0)) == [1, 0, 0, 0]


def next_step(ids, state):
    """Prefers the symbol after the last one, and counts the steps in its state."""
    return 1.0 * tf.one_hot((ids + 1) % 4, 4), state + 1


def sequence(length, start=0, logits=None, state=None, seed=1, temperature=1.0):
    ids, logits, state = sample_sequence(
        next_step, tf.zeros([2, 4]) if logits is None else logits, tf.constant(0) if state is None else state,
        uniform_noise(seed, 2, start + length)[start:], *map(tf.constant, (length, temperature, 0, 1.0)),
    )  # fmt: skip
    return ids.numpy(), logits, state


def test_each_symbol_is_fed_back():
    ids, _, state = sequence(9, temperature=0.0)
    assert ids.shape == (2, 9) and (np.diff(ids) % 4 == 1).all() and state.numpy() == 9


def test_a_sequence_in_pieces_is_the_one_made_at_once():
    whole, _, _ = sequence(10)
    first, logits, state = sequence(4)
    second, _, _ = sequence(6, start=4, logits=logits, state=state)
    assert (np.concatenate([first, second], axis=1) == whole).all()


def test_the_seed_decides():
    assert (sequence(30)[0] == sequence(30)[0]).all()
    assert (sequence(30)[0] != sequence(30, seed=2)[0]).any()


@pytest.mark.parametrize("jit", [False, True])
def test_compiled_it_draws_the_same(jit):
    uniforms = uniform_noise(1, 2, 16)

    @tf.function(jit_compile=jit)
    def compiled(length):
        arguments = map(tf.constant, (1.0, 0, 1.0))
        return sample_sequence(next_step, tf.zeros([2, 4]), tf.constant(0), uniforms, length, *arguments)[0]

    assert (compiled(tf.constant(12)).numpy()[:, :12] == sequence(12)[0]).all()


def test_chances_of_a_row_depend_on_no_other_row_and_on_no_length():
    few, many = uniform_noise(3, 2, 5).numpy(), uniform_noise(3, 4, 9).numpy()
    assert (few == many[:5, :2]).all() and len(set(many.flatten())) == 36


@pytest.mark.parametrize(("chance", "expected"), [(0.0, 1), (0.29, 1), (0.31, 2), (0.999999, 3)])
def test_a_chance_is_the_share_of_probability_before_the_symbol(chance, expected):
    logits = tf.math.log([[0.0, 0.3, 0.2, 0.5, 0.0]])
    [drawn] = sample_categorical(logits, tf.constant([chance]), *map(tf.constant, (1.0, 0, 1.0)))
    assert drawn == expected


def test_the_greatest_chance_draws_a_symbol_of_the_vocabulary():
    logits = tf.constant(np.random.default_rng(0).normal(size=(500, 65)), tf.float32)  # some sums round to below 1
    drawn = sample_categorical(logits, tf.fill([500], np.float32(1 - 2**-23)), *map(tf.constant, (1.0, 0, 1.0)))
    assert int(tf.reduce_max(drawn)) < 65


END, START = 0, 1


def markov(seed, symbols=4):
    """A model in which a symbol's logits depend on the one before it, and on the row's memory."""
    table = tf.constant(np.random.default_rng(seed).normal(size=(symbols, symbols)).astype("float32"))

    def step(ids, state, memory):
        return (
            tf.gather(table, ids) + memory["bias"],
            state + ids,
            tf.stack([tf.cast(ids, tf.float32), state_of(state)], 1),
        )

    return step


def state_of(state):
    return tf.cast(state, tf.float32)


def search(step, beam, max_lengths=(5, 5), length_penalty=1.0, bias=None):
    rows, room = len(max_lengths), (max(max_lengths), 2)
    state, memory = (
        tf.zeros([rows], tf.int32),
        {"bias": tf.zeros([rows, 4]) if bias is None else tf.constant(bias, tf.float32)},
    )
    found = beam_search(step, state, memory, START, END, tf.constant(max_lengths), room, beam, length_penalty)
    return Hypotheses(*(x.numpy() for x in found))


def test_rows_that_are_done_are_dropped_when_they_are_a_quarter_of_the_batch():
    sizes = []

    def step(ids, state, memory):
        sizes.append(len(ids))
        logits, state, kept = markov(3)(ids, state, memory)
        assert len(logits) == len(state) == len(memory["bias"]) == len(ids)
        return logits, state, kept

    lengths, endless = [1, 5, 2, 5, 4, 5, 3, 5], [-9.0, 1.0, 0.0, 0.0]
    together = search(step, beam=2, max_lengths=lengths, bias=[endless] * 8)
    assert sizes == [16, 16, 12, 12, 8]
    for row, longest in enumerate(lengths):
        alone = search(step, beam=2, max_lengths=[longest], bias=[endless])
        assert sequences(together, row) == sequences(alone)
        assert together.scores[row] == pytest.approx(alone.scores[0], rel=1e-6)
        assert (
            together.attention[row, :, :longest] == pytest.approx(alone.attention[0])
            and not together.attention[row, :, longest:].any()
        )


def log_p(step, ids, bias=0.0):
    """Of a whole sequence, by the chain rule, without any search."""
    total = 0.0
    for before, symbol in zip([START, *ids[:-1]], ids, strict=True):
        logits, *_ = step(tf.constant([before]), tf.constant([0]), {"bias": tf.constant([bias])})
        total += float(tf.nn.log_softmax(logits)[0, symbol])
    return total


def all_sequences(longest, symbols=4):
    """Every sequence that ends with END, or is cut at the greatest length."""
    inner = range(1, symbols)
    ended = [(*body, END) for n in range(longest) for body in itertools.product(inner, repeat=n)]
    return ended + list(itertools.product(inner, repeat=longest))


def sequences(hypotheses, row=0):
    return [tuple(ids[:length]) for ids, length in zip(hypotheses.ids[row], hypotheses.lengths[row], strict=True)]


@pytest.mark.parametrize("length_penalty", [0.0, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_a_beam_as_wide_as_the_tree_finds_the_best_of_all_sequences(seed, length_penalty):
    step = markov(seed)
    found = search(step, beam=120, max_lengths=[4], length_penalty=length_penalty)
    scores = {ids: log_p(step, ids) / len(ids) ** length_penalty for ids in all_sequences(4)}
    assert list(found.scores[0, :20]) == pytest.approx(sorted(scores.values(), reverse=True)[:20], abs=1e-5)
    assert [scores[ids] for ids in sequences(found)[:20]] == pytest.approx(list(found.scores[0, :20]), abs=1e-5)
    assert len(set(sequences(found)[:20])) == 20


def greedy(step, longest, bias=0.0):
    ids, before = [], START
    while len(ids) < longest and before != END:
        logits, *_ = step(tf.constant([before]), tf.constant([0]), {"bias": tf.constant([bias])})
        before = int(tf.argmax(logits[0]))
        ids.append(before)
    return tuple(ids)


@pytest.mark.parametrize("seed", range(8))
def test_a_beam_of_one_is_greedy_and_no_beam_scores_below_it(seed):
    step = markov(seed)
    [expected] = sequences(search(step, beam=1, max_lengths=[6]))
    assert expected == greedy(step, 6)
    for beam, length_penalty in itertools.product((2, 3, 5), (0.0, 0.7, 1.0)):
        one, many = (search(step, width, [6], length_penalty).scores[0] for width in (1, beam))
        assert many[0] >= one[0] and (np.diff(many) <= 0).all()


def test_a_model_that_misleads_a_beam_still_does_not_bring_it_below_greedy():
    """The greedy path, poor at its second symbol and certain after it, would fall out of a beam without its place."""
    p = np.full((8, 8), 1 / 8, "float32")
    p[[START, 3, 5]] = 1e-9
    p[START, 2:4] = 0.6, 0.4
    p[2, 5] = 0.25
    p[3, 6:8], p[5, END] = 0.5, 1.0
    table = tf.constant(np.log(p / p.sum(axis=1, keepdims=True)))

    def step(ids, state, memory):
        return tf.gather(table, ids), state, tf.zeros([len(ids), 1])

    one, two = (beam_search(step, (), (), START, END, tf.constant([9]), (9, 1), beam, 0.0) for beam in (1, 2))
    assert one.scores[0, 0] == two.scores[0, 0] and list(two.ids[0, 0][:3]) == [2, 5, END]


def test_a_row_gets_in_a_batch_what_it_gets_alone():
    step, bias = markov(3), np.random.default_rng(4).normal(size=(3, 4))
    together = search(step, 3, [2, 7, 4], bias=bias)
    for row, longest in enumerate([2, 7, 4]):
        alone = search(step, 3, [longest], bias=bias[row : row + 1])
        assert sequences(together, row) == sequences(alone)
        np.testing.assert_allclose(together.scores[row], alone.scores[0], rtol=1e-6)
        assert together.lengths[row].max() <= longest and (together.ids[row][:, longest:] == END).all()


def test_what_is_kept_follows_each_hypothesis():
    found = search(markov(6), beam=4, max_lengths=[5, 5])
    for ids, length, kept in zip(found.ids[1], found.lengths[1], found.attention[1], strict=True):
        inputs = [START, *ids[: length - 1]]
        assert list(kept[:length, 0]) == inputs  # the symbol that each step was given,
        assert list(kept[:length, 1]) == list(np.cumsum([0, *inputs[:-1]]))  # and the state that had come with it
        assert not kept[length:].any()


def test_a_length_penalty_of_zero_prefers_the_short():
    def mean_length(length_penalty):
        return np.mean([search(markov(seed), 5, [8], length_penalty).lengths[0, 0] for seed in range(10)])

    assert mean_length(0.0) < mean_length(1.0)


@pytest.mark.parametrize("rows", [1, 2])
def test_compiled_it_finds_the_same(rows):
    step = markov(2)

    @tf.function(jit_compile=rows == 1)
    def compiled(max_lengths):
        memory = {"bias": tf.zeros([rows, 4])}
        return beam_search(step, tf.zeros([rows], tf.int32), memory, START, END, max_lengths, (5, 2), beam=3)

    for mine, theirs in zip(compiled(tf.constant([5] * rows)), search(step, 3, [5] * rows), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-6)


@pytest.mark.parametrize("beam", [1, 3])
def test_forbidden_symbols_are_never_chosen_and_the_others_share_their_probability(beam):
    vocabulary, forbidden = 6, (START, 4)
    probabilities = np.random.default_rng(1).dirichlet(np.ones(vocabulary), size=vocabulary)
    probabilities[:, 4] += 9  # by far the likeliest
    allowed = probabilities.copy()
    allowed[:, forbidden] = 1e-30

    def found(table, **options):
        logits = tf.constant(np.log(table / table.sum(axis=1, keepdims=True)), tf.float32)

        def step(ids, state, memory):
            return tf.gather(logits, ids), state, tf.zeros([tf.size(ids), 1])

        return beam_search(step, [tf.zeros([2, 1])], (), START, END, tf.constant([5, 4]), (5, 1), beam, **options)

    ours, expected = found(probabilities, forbidden=forbidden), found(allowed)
    for row in range(2):
        assert not {*forbidden} & {*ours.ids.numpy()[row, 0, : ours.lengths[row, 0]]}
    np.testing.assert_array_equal(ours.ids[:, 0], expected.ids[:, 0])
    np.testing.assert_allclose(ours.scores[:, 0], expected.scores[:, 0], rtol=1e-5)
