import numpy as np
import pytest
import tensorflow as tf

from common.decoding import restrict_logits, sample, sample_sequence

LOGITS = np.log(np.array([[0.5, 0.3, 0.15, 0.05], [0.05, 0.15, 0.3, 0.5]], "float32"))


def draw(logits=LOGITS[:1], temperature=1.0, top_k=0, top_p=1.0, count=4000, seed=1):
    rows = tf.repeat(tf.constant(logits), count, axis=0)
    ids = sample(rows, tf.constant(temperature), tf.constant(top_k), tf.constant(top_p), tf.constant([seed, 0]))
    return np.bincount(ids.numpy(), minlength=logits.shape[1]) / count


def kept(top_k=0, top_p=1.0):
    restricted = restrict_logits(tf.constant(LOGITS), tf.constant(top_k), tf.constant(top_p)).numpy()
    return [list(np.flatnonzero(np.isfinite(row))) for row in restricted]


@pytest.mark.parametrize(
    ("top_k", "expected"), [(0, [[0, 1, 2, 3]] * 2), (1, [[0], [3]]), (2, [[0, 1], [2, 3]]), (9, [[0, 1, 2, 3]] * 2)]
)
def test_top_k_keeps_the_likeliest(top_k, expected):
    assert kept(top_k=top_k) == expected


@pytest.mark.parametrize(
    ("top_p", "expected"),
    [(0.01, [[0], [3]]), (0.5, [[0], [3]]), (0.6, [[0, 1], [2, 3]]), (0.9, [[0, 1, 2], [1, 2, 3]])],
)
def test_top_p_keeps_the_smallest_set_with_that_mass(top_p, expected):
    assert kept(top_p=top_p) == expected


def test_top_p_is_taken_of_what_top_k_left():
    assert kept(top_k=2, top_p=0.62) == [[0], [3]]  # 0.5 of 0.8 is 0.625


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_frequencies_are_those_of_the_tempered_distribution(temperature):
    expected = np.exp(LOGITS[0] / temperature) / np.exp(LOGITS[0] / temperature).sum()
    assert draw(temperature=temperature) == pytest.approx(expected, abs=0.03)


def test_temperature_zero_takes_the_likeliest():
    assert list(draw(temperature=0.0)) == [1, 0, 0, 0]


def next_step(ids, state):
    """Prefers the symbol after the last one, and counts the steps in its state."""
    return 1.0 * tf.one_hot((ids + 1) % 4, 4), state + 1


def sequence(length, start=0, logits=None, state=None, seed=1, temperature=1.0):
    ids, logits, state = sample_sequence(
        next_step, tf.zeros([2, 4]) if logits is None else logits, tf.constant(0) if state is None else state,
        *map(tf.constant, (start, length, seed, temperature, 0, 1.0)),
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


def test_compiled_it_draws_the_same():
    assert (tf.function(lambda: sequence_tensor(12))().numpy() == sequence(12)[0]).all()


def sequence_tensor(length):
    arguments = map(tf.constant, (0, length, 1, 1.0, 0, 1.0))
    return sample_sequence(next_step, tf.zeros([2, 4]), tf.constant(0), *arguments)[0]
