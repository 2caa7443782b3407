"""HTTP connections that are shut when they keep a reader waiting, in whatever way.

The timeouts of requests and urllib3 count from one byte to the next: a status line, a header, a chunk's length or a TLS
handshake that comes byte by byte, or `100 Continue` again and again, holds a reader for hours.
"""

import contextlib
import socket
import threading
from collections.abc import Iterator

import requests
from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager
from urllib3.connection import HTTPConnection, HTTPSConnection


class _Deadline:
    """Shuts a socket after so many seconds, unless it is stopped before."""

    def __init__(self, seconds: float, sock: socket.socket):
        """Start to count."""
        self._socket, self._seconds, self._is_over = sock, seconds, False
        self._timer = threading.Timer(seconds, self._end)
        self._timer.daemon = True
        self._timer.start()

    def _end(self) -> None:
        self._is_over = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> None:
        """Nothing more to do."""

    def __exit__(self, *_: object) -> None:
        """Stop; raise TimeoutError if it is too late, whatever came of the shut socket."""
        self._timer.cancel()
        if self._is_over:
            raise TimeoutError(f"timed out: not complete after {self._seconds:g} seconds")


class _Watched:
    """What makes a connection of urllib3 one that must have answered, headers included, within so many seconds."""

    seconds = 10.0

    def _new_conn(self) -> socket.socket:
        sock = super()._new_conn()
        self.watched = sock.dup()  # `sock` itself is taken over by TLS, and by the response
        self._deadline = _Deadline(self.seconds, self.watched)
        return sock

    def getresponse(self) -> object:
        with self._deadline:
            return super().getresponse()


class _WatchedAdapter(requests.adapters.HTTPAdapter):
    """Makes watched connections, through a proxy as well."""

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


def watch(session: requests.Session, seconds: float) -> None:
    """Shut every connection of a session whose answer, up to the end of its headers, takes longer than so."""
    for prefix in [*session.adapters]:
        session.mount(prefix, _WatchedAdapter(seconds))


@contextlib.contextmanager
def time_limit(response: requests.Response, seconds: float) -> Iterator[None]:
    """Shut the connection of an answer if this block, which reads a piece of it, takes longer than so many seconds.

    Raises:
        TimeoutError: it did.
    """
    watched = getattr(response.raw.connection, "watched", None)
    if watched is None:  # nothing is left to read
        yield
        return
    with _Deadline(seconds, watched):
        yield
