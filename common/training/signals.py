"""Graceful shutdown on signals."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Self

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # SIGHUP: the terminal was closed


class StopRequested(BaseException):
    """A signal arrived; a BaseException, so that `except Exception` does not catch it."""


class GracefulShutdown:
    """A `with` block that the first SIGTERM, SIGINT or SIGHUP ends by raising StopRequested.

    A `deferred` block is finished first. A second signal, of any kind here, has its default effect. Ignored signals
    stay ignored, for instance SIGHUP under `nohup`.
    """

    def __init__(self):
        self.received: int | None = None
        self._depth = 0  # of nested `deferred` blocks
        self.is_raised = False  # whether StopRequested was raised; TensorFlow may turn it into an error of its own
        self._handlers: dict[int, object] = {}

    def __enter__(self) -> Self:
        """Install the signal handlers; outside of the main thread, Python does not allow it, and nothing happens."""
        if threading.current_thread() is threading.main_thread():
            handled = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
            self._handlers = {number: signal.signal(number, self._handle) for number in handled}
        return self

    def __exit__(self, *_exception: object) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def stop(self) -> None:
        """Raise StopRequested, for a signal that another process got."""
        self.received, self.is_raised = self.received or signal.SIGTERM, True
        raise StopRequested

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Delay the effect of a signal to the end of this block, whose work must not be split."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        self._raise_if_due()

    def _handle(self, number: int, _frame: FrameType | None) -> None:
        self.received = number
        for each in self._handlers:
            signal.signal(each, signal.SIG_DFL)
        self._raise_if_due()

    def _raise_if_due(self) -> None:
        if self.received is not None and not self._depth and not self.is_raised:
            self.is_raised = True
            raise StopRequested
