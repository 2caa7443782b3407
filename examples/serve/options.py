"""The command `serve`: its options, and the start of the server."""

import os
import signal
import socket
import sys
import tempfile
from dataclasses import dataclass
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated, Any

from annotated_types import Interval

from common.app.cli import Options
from common.app.intervals import Count
from common.errors import Interrupted, UserError
from common.io.terminal import echo, warn

_PACKAGES = ("fastapi", "fastapi_offline", "uvicorn", "prometheus_client", "python_multipart")
_GRADIO = {"GRADIO_ANALYTICS_ENABLED": "False", "HF_HUB_DISABLE_TELEMETRY": "1"}  # read when it is imported
_LOCAL = ("127.0.0.1", "localhost", "[::1]", "[")  # by which programs here ask; older Starlettes read "[" in "[::1]"
_THIS_MACHINE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # what a browser here opens, for "all addresses"


@dataclass(frozen=True, kw_only=True)
class ServeOptions(Options):
    """Serve trained models on this machine: a page to play with at /, a JSON API below /v1, its description at /docs.

    - All runs below runs/: serve
    - Those of the demo: serve --runs demo
    """

    runs: Path = Path("runs")
    """Folder with run directories, one or two levels below. Without any run in it, those in demo/ are used."""
    host: str = "127.0.0.1"
    """Address to listen at. Only programs on this machine reach 127.0.0.1; 0.0.0.0 is reached by the whole network."""
    port: Annotated[int, Interval(ge=0, le=65_535)] = 7860
    """Port to listen at; 0 chooses a free one."""
    requests_per_minute: Count = 600
    """Largest number of requests from one address, GET requests aside."""
    max_batch: Annotated[int, Interval(ge=1, le=256)] = 32
    """Largest number of requests that are answered together; 1 answers each by itself."""
    max_waiting: Annotated[int, Interval(ge=1, le=10_000)] = 256
    """Largest number of requests of a kind that wait; the next is told that the server is busy. A sentence to translate
    counts as one, but those of a request wait together."""


def serve(options: ServeOptions) -> None:
    """Serve until SIGINT, SIGTERM or SIGHUP.

    Raises:
        UserError: a package is missing, or the address cannot be used.
    """
    if missing := [name for name in _PACKAGES if find_spec(name) is None]:
        raise UserError(
            f"serve needs packages that are missing ({', '.join(missing)}): pip install -r requirements-page.txt, "
            "or -r requirements-serve.txt for the API without the page"
        )
    import uvicorn

    if not _is_loopback(options.host):
        warn(f"note: {options.host} may be reached by others on the network; there is no password")
    signal.signal(signal.SIGTERM, _stop)  # uvicorn shuts down and then raises the signal again
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:  # the terminal was closed: as SIGTERM, so that uploads go
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="eager-examples-") as uploads, _listening_socket(options) as listener:
        application = _application(options, uploads)
        host, port = listener.getsockname()[:2]
        host = _THIS_MACHINE.get(host, host)
        echo(f"open http://{f'[{host}]' if ':' in host else host}:{port}")
        config = uvicorn.Config(application, log_level="warning", access_log=False, timeout_graceful_shutdown=3)
        sys.addaudithook(_forbid_connections)  # Gradio would fetch whatever address a request names
        uvicorn.Server(config).run(sockets=[listener])


def _application(options: ServeOptions, uploads: str) -> Any:
    """Return the ASGI application: the API, and the page if Gradio is installed."""
    from fastapi.responses import RedirectResponse

    from examples.serve.api import create_app
    from examples.serve.registry import RunRegistry, runs_folder
    from examples.serve.service import Service

    registry = RunRegistry(runs_folder(options.runs))
    if not registry.runs():
        warn(f"note: no finished run in {options.runs}; the page offers to train the tiny ones")
    service = Service(registry, options.max_batch, options.max_waiting)
    hosts = (*_LOCAL, options.host) if _is_loopback(options.host) else ("*",)
    app = create_app(service, options.requests_per_minute, hosts)
    if find_spec("gradio") is None:
        warn("note: the API without the page, which needs Gradio: pip install -r requirements-page.txt")
        app.add_api_route("/", lambda: RedirectResponse("/docs"), include_in_schema=False)
        return app
    os.environ |= _GRADIO | {"GRADIO_TEMP_DIR": uploads}
    from examples.serve.page import mount_page  # imports Gradio, which takes seconds

    return mount_page(app, service)


def _is_loopback(host: str) -> bool:
    """Return whether only programs on this machine reach an address."""
    try:
        return ip_address(host).is_loopback
    except ValueError:  # a name
        return host == "localhost"


def _forbid_connections(event: str, _: tuple) -> None:
    if event in ("socket.connect", "socket.getaddrinfo"):
        raise PermissionError("the server asks no other host")


def _stop(signum: int, _: object) -> None:
    raise Interrupted(signum, "the server is shut down")


def _listening_socket(options: ServeOptions) -> socket.socket:
    family = socket.AF_INET6 if ":" in options.host else socket.AF_INET
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((options.host, options.port))
        listener.listen()  # a browser that comes before the models are loaded waits
    except (OSError, UnicodeError) as error:
        listener.close()
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"{options.host}:{options.port}: cannot listen there ({reason}); use another --port") from error
    return listener
