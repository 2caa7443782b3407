"""Being told to stop, in an orderly way."""

import signal
import threading
from types import FrameType
from typing import Self


class StopSignals:
    """A `with` block in which the first SIGTERM or SIGINT is only noted, in `received`; a second one acts at once."""

    def __init__(self):
        """Nothing received yet."""
        self.received: int | None = None
        self._handlers: dict[int, object] = {}

    def __enter__(self) -> Self:
        """Take over both signals; only the main thread may, elsewhere this does nothing."""
        if threading.current_thread() is threading.main_thread():
            self._handlers = {number: signal.signal(number, self._note) for number in (signal.SIGTERM, signal.SIGINT)}
        return self

    def __exit__(self, *_exception: object) -> None:
        """Give the signals back to whom they belonged."""
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def _note(self, number: int, _frame: FrameType | None) -> None:
        self.received = number
        signal.signal(number, signal.SIG_DFL)
