"""A web server on the loopback that misbehaves in one chosen way per path, and remembers what it was asked."""

import contextlib
import socket
import struct
import threading
import time
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class FaultServer:
    """Serves `body` under /ok and with a fault under every other path of `_Handler`. A context manager.

    Attributes:
        body: the published bytes.
        log: a path and the headers for each request, in order.
        half_sent: set when a path that holds or stalls has sent half the body.
        release: set it to let such paths go on; set when the server closes.
    """

    def __init__(self, body: bytes):
        self.body = body
        self.log: list[tuple[str, dict[str, str]]] = []
        self.counts: Counter[str] = Counter()
        self.half_sent = threading.Event()
        self.release = threading.Event()
        self._server = _Server(("127.0.0.1", 0), _Handler)
        self._server.faults = self

    def url(self, path: str) -> str:
        """Return the URL of a path such as "ok"."""
        return f"http://127.0.0.1:{self._server.server_port}/{path}"

    def __enter__(self) -> "FaultServer":
        threading.Thread(target=self._server.serve_forever, args=[0.01], daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.release.set()
        self._server.shutdown()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64
    faults: FaultServer

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing: clients that hang up are what is tested."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing on stderr."""

    def do_GET(self) -> None:
        self.faults: FaultServer = self.server.faults
        self.body = self.faults.body
        self.half = self.body[: len(self.body) // 2]
        self.close_connection = True
        path = self.path.removeprefix("/")
        self.faults.log.append((path, dict(self.headers)))
        self.faults.counts[path] += 1
        self.nth = self.faults.counts[path]
        with contextlib.suppress(OSError):
            getattr(self, "serve_" + path.replace("-", "_"))()

    def head(self, status: int = 200, /, **headers: Any) -> None:
        self.send_response(status)
        for name, value in {"Connection": "close", **headers}.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()
        self.wfile.flush()

    def send(self, body: bytes, **headers: Any) -> None:
        self.head(**{"Content_Length": len(body), **headers})
        self.wfile.write(body)

    def send_chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))

    # Good answers.

    def serve_ok(self) -> None:
        self.send(self.body)

    def serve_no_length(self) -> None:
        self.head()
        self.wfile.write(self.body)

    def serve_chunked(self) -> None:
        self.head(Transfer_Encoding="chunked")
        for start in range(0, len(self.body), 7919):
            self.send_chunk(self.body[start : start + 7919])
        self.send_chunk(b"")

    def serve_slow(self) -> None:
        self.head(Content_Length=len(self.body))
        for start in range(0, len(self.body), 16384):
            self.wfile.write(self.body[start : start + 16384])
            time.sleep(0.002)

    # Bodies that break off.

    def serve_cut(self) -> None:
        self.head(Content_Length=len(self.body))
        self.wfile.write(self.half)

    def serve_cut_once(self) -> None:
        self.serve_cut() if self.nth == 1 else self.serve_ok()

    def serve_cut_no_length(self) -> None:
        self.head()
        self.wfile.write(self.half)

    def serve_cut_chunked(self) -> None:
        self.head(Transfer_Encoding="chunked")
        self.send_chunk(self.half)

    def serve_reset(self) -> None:
        self.serve_cut()
        self.wfile.flush()
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.rfile.close()
        self.connection.close()

    # Bodies that take long.

    def serve_stall(self) -> None:
        self.serve_cut()
        self.faults.half_sent.set()
        self.faults.release.wait(60)

    def serve_stall_once(self) -> None:
        self.serve_stall() if self.nth == 1 else self.serve_ok()

    def serve_stall_at_once(self) -> None:
        self.faults.release.wait(60)

    def serve_drip(self) -> None:
        self.head(Content_Length=len(self.body))
        for byte in self.body:
            self.wfile.write(bytes([byte]))
            if self.faults.release.wait(0.02):
                break

    def drip(self, data: bytes) -> None:
        for byte in data * 1000:
            self.wfile.write(bytes([byte]))
            if self.faults.release.wait(0.02):
                break

    def serve_drip_headers(self) -> None:
        self.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        self.drip(b"x")

    def serve_drip_status(self) -> None:
        self.drip(b"HTTP/1.1 200 OK")

    def serve_continue_for_ever(self) -> None:
        self.drip(b"HTTP/1.1 100 Continue\r\n\r\n")

    def serve_drip_chunk(self) -> None:
        self.head(Transfer_Encoding="chunked")
        self.drip(b"0")

    # Complete answers that are not the published file.

    def serve_wrong(self) -> None:
        self.send(self.body[:-1] + bytes([self.body[-1] ^ 1]))

    def serve_wrong_once(self) -> None:
        self.serve_wrong() if self.nth == 1 else self.serve_ok()

    def serve_html(self) -> None:
        self.send(b"<html>Please log in</html>", Content_Type="text/html; charset=utf-8")

    def serve_short_length(self) -> None:
        self.send(self.body, Content_Length=len(self.half))

    def serve_long_length(self) -> None:
        self.send(self.body, Content_Length=2 * len(self.body))

    def serve_endless(self) -> None:
        self.head()
        while not self.faults.release.is_set():
            self.wfile.write(self.body)

    # Other statuses.

    def serve_404(self) -> None:
        self.head(404, Content_Length=0)

    def serve_403(self) -> None:
        self.head(403, Content_Length=0)

    def serve_503(self) -> None:
        self.head(503, Content_Length=0)

    def serve_503_twice(self) -> None:
        self.serve_503() if self.nth <= 2 else self.serve_ok()

    def serve_429_once(self) -> None:
        self.head(429, Content_Length=0, Retry_After=7) if self.nth == 1 else self.serve_ok()

    def serve_503_for_an_hour(self) -> None:
        self.head(503, Content_Length=0, Retry_After=3600) if self.nth == 1 else self.serve_ok()

    def serve_429_odd(self) -> None:
        self.head(429, Content_Length=0, Retry_After="soon") if self.nth == 1 else self.serve_ok()

    # Redirects.

    def redirect(self, location: str) -> None:
        self.head(302, Location=location, Content_Length=0)

    def serve_redirect(self) -> None:
        self.redirect("/ok")

    def serve_redirect_to_other_host(self) -> None:
        self.redirect(self.faults.url("ok").replace("127.0.0.1", "localhost"))

    def serve_redirect_to_file(self) -> None:
        self.redirect("file:///etc/hostname")

    def serve_redirect_to_nonsense(self) -> None:
        self.redirect("http://[")

    def serve_redirect_to_empty_label(self) -> None:
        self.redirect("http://a..b/x")

    def serve_redirect_to_long_label(self) -> None:
        self.redirect(f"http://{'a' * 300}/x")

    def serve_odd_length(self) -> None:
        self.send(self.body, Content_Length="abc")

    def serve_redirect_with_endless_body(self) -> None:
        self.head(302, Location="/ok")
        while not self.faults.release.is_set():
            self.wfile.write(self.body)

    def serve_loop(self) -> None:
        self.redirect("/loop")

    def serve_hop_10(self) -> None:
        self.redirect("/hop-9")

    def __getattr__(self, name: str) -> Any:
        """Serve hop-N by a redirect to hop-(N-1), and hop-0 by the body."""
        if not name.startswith("serve_hop_"):
            raise AttributeError(name)
        hops = int(name.removeprefix("serve_hop_"))
        return (lambda: self.redirect(f"/hop-{hops - 1}")) if hops else self.serve_ok
