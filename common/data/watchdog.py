"""A limit of the time that a part of an HTTP response takes.

The timeouts of requests and urllib3 restart at every byte. A status line, a header, a chunk length or a TLS handshake
that arrives byte by byte, or repeated `100 Continue`, blocks a reader for hours.
"""

import contextlib
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


def in_time(seconds: float, call: Callable[[], T], give_up: Callable[[], object] = lambda: None) -> T:
    """Return `call()`, made in a thread; if it takes longer, call `give_up` and raise TimeoutError."""
    future: Future[T] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    try:
        return future.result(seconds)
    except TimeoutError as error:
        with contextlib.suppress(OSError, RuntimeError):  # the connection may be closed by then
            give_up()
        raise TimeoutError(f"timed out: not complete after {seconds:g} seconds") from error
