"""Metrics of the service in the form of Prometheus: requests, their seconds, sizes of batches, requests that wait."""

from collections.abc import Awaitable, Callable
from time import monotonic

import prometheus_client as prometheus
from fastapi import FastAPI
from fastapi.responses import Response

from examples.serve.service import Service


class Metrics:
    """The metrics of one application, in a registry of their own."""

    def __init__(self, service: Service):
        """Create them, and let the service report its batches."""
        self.registry = registry = prometheus.CollectorRegistry()
        self.requests = prometheus.Counter("requests", "Requests answered", ["path", "status"], registry=registry)
        self.seconds = prometheus.Histogram("request_seconds", "Time to the last byte", ["path"], registry=registry)
        buckets = (1, 2, 4, 8, 16, 32, 64, 128, 256)
        sizes = prometheus.Histogram(
            "batch_size", "Requests answered together", ["kind"], registry=registry, buckets=buckets
        )
        waiting = prometheus.Gauge("requests_waiting", "Requests that wait", ["kind"], registry=registry)
        service.observe = lambda kind, size: sizes.labels(kind).observe(size)
        for kind, batcher in service.batchers.items():
            waiting.labels(kind).set_function(lambda batcher=batcher: batcher.waiting)

    def response(self) -> Response:
        """Return all metrics as text."""
        return Response(prometheus.generate_latest(self.registry), media_type=prometheus.CONTENT_TYPE_LATEST)


class MeasureRequests:
    """ASGI middleware that counts and times the requests to the API."""

    def __init__(self, app: Callable[..., Awaitable[None]], metrics: Metrics):
        """Wrap `app`."""
        self.app, self.metrics = app, metrics

    async def __call__(self, scope, receive, send) -> None:
        """Answer a request and measure it."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        status = 500
        start = monotonic()

        async def send_and_note(message: dict) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self.app(scope, receive, send_and_note)
        finally:
            path = getattr(scope.get("route"), "path", "")
            if path.startswith("/v1/"):  # a path that no route has would be a label of the client's choice
                self.metrics.requests.labels(path, status).inc()
                self.metrics.seconds.labels(path).observe(monotonic() - start)


def add_metrics(app: FastAPI, service: Service) -> None:
    """Measure the requests of an application, and answer /metrics."""
    metrics = Metrics(service)
    app.add_middleware(MeasureRequests, metrics=metrics)

    @app.get("/metrics", response_class=Response)
    async def read_metrics() -> Response:
        """Return the metrics in the text form of Prometheus."""
        return metrics.response()
