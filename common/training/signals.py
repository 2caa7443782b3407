"""Being told to stop, in an orderly way."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Self

_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)  # the last when a terminal is closed


class StopRequested(BaseException):
    """One of the signals came; not to be caught by those who catch every Exception."""


class StopSignals:
    """A `with` block that the first SIGTERM, SIGINT or SIGHUP ends at once, by StopRequested.

    What is `deferred` is finished before. A second signal acts as if this block were not there. A signal that is
    ignored, as SIGHUP is below `nohup`, stays so.
    """

    def __init__(self):
        """Nothing received yet."""
        self.received: int | None = None
        self._depth = 0  # of blocks that are deferred
        self.is_raised = False  # StopRequested was; TensorFlow may have made an error of its own of it
        self._handlers: dict[int, object] = {}

    def __enter__(self) -> Self:
        """Take over the signals; only the main thread may, elsewhere this does nothing."""
        if threading.current_thread() is threading.main_thread():
            heeded = [number for number in _SIGNALS if signal.getsignal(number) != signal.SIG_IGN]
            self._handlers = {number: signal.signal(number, self._note) for number in heeded}
        return self

    def __exit__(self, *_exception: object) -> None:
        """Give the signals back to whom they belonged."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Let a signal wait for the end of this block, in which work must be done as a whole or not at all."""
        self._depth += 1
        try:
            yield
        finally:
            self._depth -= 1
        self._raise_if_due()

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received = number
        signal.signal(number, signal.SIG_DFL)
        self._raise_if_due()

    def _raise_if_due(self) -> None:
        if self.received is not None and not self._depth and not self.is_raised:
            self.is_raised = True
            raise StopRequested
