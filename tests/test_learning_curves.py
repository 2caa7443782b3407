import itertools

import pytest
import tensorflow as tf

from benchmarks import __main__ as page
from benchmarks import learning_curves, measure
from benchmarks.learners import Learner, mean_nll
from benchmarks.learning_curves import TIMED, draw, train_in_turns
from common.training.schedule import WarmupCosine


@pytest.fixture
def clock(monkeypatch):
    """Seconds that only a training step lets pass."""
    now = [0.0]
    monkeypatch.setattr(learning_curves.time, "perf_counter", lambda: now[0])
    return now


def learner(clock, seconds, name="", order=None, schedule=None):
    def step(_batch):
        clock[0] += seconds
        if order is not None:
            order.append(name)

    return Learner(step, lambda epoch: range(50), itertools.count().__next__, schedule)


def test_learners_take_turns_and_each_has_its_own_clock(clock):
    order = []
    learners = {"a": learner(clock, 1.0, "a", order), "b": learner(clock, 2.0, "b", order)}
    curves = train_in_turns(learners, minutes=2, turns=3)
    assert [name for name, _ in itertools.groupby(order)] == ["a", "b"] * 3
    untimed = TIMED.start  # steps that compile
    assert order.count("a") == untimed + 120 and order.count("b") == untimed + 60
    assert curves["a"] == [(pytest.approx(turn * 2 / 3), turn - 1) for turn in (1, 2, 3)]


def test_the_schedule_ends_after_the_steps_that_fit(clock):
    schedule = WarmupCosine(1.0, 10**6, 0)
    train_in_turns({"a": learner(clock, 0.5, schedule=schedule)}, minutes=1, turns=1)
    assert int(schedule.total_steps) == 120


def test_the_mean_nll_leaves_out_what_the_mask_leaves_out():
    batches = [(tf.constant([[1.0, 9.0]]), tf.constant([[1.0, 0.0]])), (tf.constant([[2.0, 6.0]]), tf.ones([1, 2]))]
    assert mean_nll(lambda nll, mask: (nll, mask), batches) == 3.0


def test_curves_are_drawn(tmp_path):
    draw({"here": [(1.0, 500.0), (2.0, 5.0)], "other": [(1.0, 900.0), (2.0, 700.0)]}, "distance", tmp_path / "a.png")
    assert (tmp_path / "a.png").stat().st_size > 1000


def test_the_page_has_the_curves_as_soon_as_they_are_measured(tmp_path, monkeypatch):
    for module in (learning_curves, measure, page):
        monkeypatch.setattr(module, "RESULTS", tmp_path)
    monkeypatch.setattr(page, "PAGE", tmp_path / "RESULTS.md")
    monkeypatch.setattr(learning_curves, "dcgan", lambda data_dir: {})
    curves = {"here": [(1.0, 5.0)], "public tutorial": [(1.0, 700.0)]}
    monkeypatch.setattr(learning_curves, "train_in_turns", lambda *_: curves)
    learning_curves.main("dcgan")
    assert "| 1.0 | 5 | 700 |" in page.PAGE.read_text(encoding="utf-8")
