"""What the service refuses, each with an HTTP status and a plain sentence; nothing here names a path of the machine."""

import math
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable

from fastapi import HTTPException
from fastapi.responses import JSONResponse

from common.io.terminal import one_line

MAX_TEXT = 2_000
"""Characters of a prompt, and of a continuation."""
MAX_SENTENCE = 1_000
"""Characters of a sentence to translate."""
MAX_SENTENCES = 32
MAX_BEAM = 10
MAX_IMAGES = 64
MAX_UPLOAD = 10 * 2**20
"""Bytes of a photo."""
MAX_BODY = 2**18
"""Bytes of any other request."""
POLICY = b"default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'"  # Gradio's scripts are inline in part
_MAX_ADDRESSES = 10_000  # whose requests are counted; the one that asked longest ago is forgotten first

App = Callable[..., Awaitable[None]]
"""An ASGI application."""


class Refused(HTTPException):
    """A request that is not answered; `detail` is a plain sentence."""

    def __init__(self, sentence: str, status_code: int = 422):
        super().__init__(status_code, one_line(sentence))

    def response(self) -> JSONResponse:
        """Return the response where FastAPI does not make it: in a middleware, or in place of another error."""
        return JSONResponse({"detail": self.detail}, self.status_code)


class RateLimit:
    """Counts requests by address: each has a bucket of tokens that refills over a minute."""

    def __init__(self, per_minute: int, clock: Callable[[], float] = time.monotonic):
        """Allow `per_minute` requests at once, and that many per minute from then on."""
        self.per_minute, self.clock = per_minute, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # address -> tokens, time

    def wait_seconds(self, address: str) -> int:
        """Count a request; return 0 if it is allowed, else the seconds until the next one will be."""
        now = self.clock()
        tokens, before = self._buckets.pop(address, (float(self.per_minute), now))
        tokens = min(self.per_minute, tokens + (now - before) * self.per_minute / 60)
        allowed = tokens >= 1
        self._buckets[address] = (tokens - allowed, now)
        if len(self._buckets) > _MAX_ADDRESSES:
            self._buckets.popitem(last=False)
        return 0 if allowed else math.ceil(round((1 - tokens) * 60 / self.per_minute, 3))


def limit_requests(app: App, rate: RateLimit) -> App:
    """Return `app`, which then refuses bodies that are too large, and addresses that ask too often."""

    async def answer(scope, receive, send) -> None:
        if scope["type"] != "http" or scope["method"] in ("GET", "HEAD", "OPTIONS"):
            return await app(scope, receive, send)
        address = scope["client"][0] if scope["client"] else ""
        if seconds := rate.wait_seconds(address):
            refusal = Refused(f"Too many requests from your address; try again in {seconds} s.", 429)
            return await refusal.response()(scope, receive, send)
        headers, count = dict(scope["headers"]), 0
        is_form = headers.get(b"content-type", b"").startswith(b"multipart/")
        limit = MAX_UPLOAD if is_form else MAX_BODY
        too_large = Refused(f"The request is too large; at most {limit / 2**20:g} MiB are taken.", 413)
        limit += MAX_BODY if is_form else 0  # for what a form has around the photo
        if int(headers.get(b"content-length", b"0")) > limit:
            return await too_large.response()(scope, receive, send)

        async def receive_and_count() -> dict:  # a body need not say how long it is
            nonlocal count
            message = await receive()
            count += len(message.get("body", b""))
            if count > limit:
                raise too_large  # an HTTPException is what FastAPI passes on while it reads a body
            return message

        await app(scope, receive_and_count, send)

    return answer


def refuse_other_hosts(app: App) -> App:
    """Return `app`, whose answers then tell browsers to load nothing from other hosts, whatever a page asks for."""

    async def answer(scope, receive, send) -> None:
        async def send_with_policy(message: dict) -> None:
            if message["type"] == "http.response.start":
                headers = [(b"content-security-policy", POLICY), (b"x-content-type-options", b"nosniff")]
                message = message | {"headers": [*message.get("headers", ()), *headers]}
            await send(message)

        await app(scope, receive, send_with_policy)

    return answer
