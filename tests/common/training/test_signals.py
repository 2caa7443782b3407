import os
import signal
import subprocess
import sys

import pytest

from common.training.signals import GracefulShutdown, StopRequested


def test_the_first_signal_ends_the_block_and_the_handlers_come_back():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(StopRequested), GracefulShutdown() as stop:
        assert stop.received is None
        os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("went on")
    assert stop.received == signal.SIGINT and signal.getsignal(signal.SIGINT) is before


def test_what_is_deferred_is_done_as_a_whole():
    done = []
    with pytest.raises(StopRequested), GracefulShutdown() as stop:
        with stop.deferred():
            os.kill(os.getpid(), signal.SIGTERM)
            with stop.deferred():
                done.append("a part of it")
            done.append("the rest of it")
        done.append("what comes after it")
    assert done == ["a part of it", "the rest of it"] and stop.received == signal.SIGTERM


def test_who_was_stopped_may_still_save():
    saved = []
    with GracefulShutdown() as stop:
        try:
            os.kill(os.getpid(), signal.SIGTERM)
        except StopRequested:
            with stop.deferred():
                saved.append(1)
    assert saved == [1]


def test_what_is_ignored_stays_so():
    """As SIGHUP is below `nohup`."""
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with GracefulShutdown() as stop:
            os.kill(os.getpid(), signal.SIGHUP)
        assert stop.received is None
    finally:
        signal.signal(signal.SIGHUP, before)


def test_an_error_in_a_deferred_block_is_not_hidden():
    with pytest.raises(ZeroDivisionError), GracefulShutdown() as stop, stop.deferred():
        os.kill(os.getpid(), signal.SIGTERM)
        _ = 1 / 0


@pytest.mark.parametrize("second", ["SIGTERM", "SIGINT"])
def test_a_second_signal_acts_at_once(second):
    code = (
        "import os, signal\nfrom common.training.signals import GracefulShutdown\n"
        "with GracefulShutdown() as stop, stop.deferred():\n"
        "  os.kill(os.getpid(), signal.SIGTERM)\n"
        f"  os.kill(os.getpid(), signal.{second})\nprint('?')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == -signal.Signals[second] and done.stdout == b""
