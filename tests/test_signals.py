import os
import signal
import subprocess
import sys

from common.signals import StopSignals


def test_the_first_signal_is_noted_and_the_handlers_come_back():
    before = signal.getsignal(signal.SIGINT)
    with StopSignals() as stop:
        assert stop.received is None
        os.kill(os.getpid(), signal.SIGINT)
        assert stop.received == signal.SIGINT
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_signal_acts_at_once():
    code = (
        "import os, signal\nfrom common.signals import StopSignals\n"
        "with StopSignals():\n os.kill(os.getpid(), signal.SIGTERM)\n os.kill(os.getpid(), signal.SIGTERM)\nprint('?')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True)
    assert done.returncode == -signal.SIGTERM and done.stdout == b""
