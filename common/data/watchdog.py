"""HTTP connections that are closed when a response takes too long.

The timeouts of requests and urllib3 restart at every byte. A status line, a header, a chunk length or a TLS handshake
that arrives byte by byte, or repeated `100 Continue`, blocks a reader for hours.
"""

import contextlib
import socket
import threading

import requests
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection


class _Deadline:
    """A timer that shuts a socket down after `seconds`, unless it is stopped before."""

    def __init__(self, seconds: float, sock: socket.socket):
        self._socket, self._seconds, self._is_over = sock, seconds, False
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._timer.start()

    def _end(self) -> None:
        self._is_over = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> None:
        """Do nothing; the timer is running."""

    def __exit__(self, *_: object) -> None:
        """Stop the timer; if it has ended, raise TimeoutError in place of any error of the closed socket."""
        self._timer.cancel()
        if self._is_over:
            raise TimeoutError(f"timed out: not complete after {self._seconds:g} seconds")


class _Watched:
    """A mixin for connections of urllib3: all headers must arrive within `seconds`."""

    seconds = 10.0

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        self.watched = sock.dup()  # TLS and the response take over `sock` itself
        self._deadline = _Deadline(self.seconds, self.watched)
        return sock

    def getresponse(self) -> object:
        with self._deadline:
            return super().getresponse()


class _WatchedAdapter(requests.adapters.HTTPAdapter):
    """An adapter that makes watched connections, also through a proxy."""

    def __init__(self, seconds: float):
        http = type("WatchedHTTP", (_Watched, HTTPConnection), {"seconds": seconds})
        https = type("WatchedHTTPS", (_Watched, HTTPSConnection), {"seconds": seconds})
        self._pools = {
            "http": type("WatchedHTTPPool", (HTTPConnectionPool,), {"ConnectionCls": http}),
            "https": type("WatchedHTTPSPool", (HTTPSConnectionPool,), {"ConnectionCls": https}),
        }
        super().__init__()

    def init_poolmanager(self, *arguments: object, **options: object) -> None:
        super().init_poolmanager(*arguments, **options)
        self.poolmanager.pool_classes_by_scheme = self._pools

    def proxy_manager_for(self, *arguments: object, **options: object) -> PoolManager:
        manager = super().proxy_manager_for(*arguments, **options)
        manager.pool_classes_by_scheme = self._pools
        return manager


def limit_response_time(session: requests.Session, seconds: float) -> None:
    """Close every connection of a session whose response headers take longer than `seconds`."""
    for prefix in [*session.adapters]:
        session.mount(prefix, _WatchedAdapter(seconds))


def time_limit(response: requests.Response, seconds: float) -> contextlib.AbstractContextManager[None]:
    """Return a block that closes the connection of a response if reading a chunk takes longer than `seconds`.

    It raises TimeoutError then.
    """
    watched = getattr(response.raw.connection, "watched", None)
    return _Deadline(seconds, watched) if watched else contextlib.nullcontext()  # else the response is complete
