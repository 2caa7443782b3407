import re

import pytest

from common.training import progress
from common.training.progress import ProgressBar


class Clock:
    now = 0.0


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    monkeypatch.setattr("tqdm.std.time", lambda: Clock.now)
    Clock.now = 1000.0
    return Clock


def row(epoch, step):
    return {"epoch": epoch, "step": step, "seconds": 1.0, "loss": 2.0}


def test_a_log_has_whole_lines_and_few_of_them(clock, monkeypatch, capfd):
    monkeypatch.setattr(progress, "IS_INTERACTIVE", False)
    bar = ProgressBar(epochs=2, total_steps=200, first_step=0)
    with bar.bar:
        bar.start_epoch(0)
        for _ in range(100):
            clock.now += 1
            bar.advance(1, {"loss": 2.0})
        bar.end_epoch(row(1, 100), is_best=True)
    output, error = capfd.readouterr()
    assert output == "epoch 1/2  step 100  1 s  loss 2.0000  best\n"
    assert 4 <= error.count("\n") <= 7 and "\r" not in error
    assert all(re.match(r"epoch 1/2: .*/200 \[.*step/s, loss=2\.000\]$", line) for line in error.splitlines())


@pytest.mark.parametrize("first_step", [0, 100])
def test_the_time_left_does_not_count_the_compilation(first_step, clock, monkeypatch, capfd):
    monkeypatch.setattr(progress, "IS_INTERACTIVE", True)
    bar = ProgressBar(epochs=1, total_steps=first_step + 101, first_step=first_step)
    with bar.bar:
        bar.start_epoch(0)
        clock.now += 60  # compiles
        bar.advance(1, {"loss": 2.0})
        for _ in range(10):
            clock.now += 1
            bar.advance(1, {"loss": 2.0})
        last = capfd.readouterr().err.split("\r")[-1]
    assert f" {first_step + 11}/{first_step + 101} [00:10<01:30,  1.00step/s" in last
