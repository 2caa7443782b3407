"""Metrics of the service in the form of Prometheus: requests, their seconds, sizes of batches, requests that wait."""

from time import monotonic

import prometheus_client as prometheus
from fastapi import FastAPI
from fastapi.responses import Response

from examples.serve.limits import App
from examples.serve.service import Service


def add_metrics(app: FastAPI, service: Service) -> None:
    """Measure the requests of an application and the batches of its service, and answer /metrics."""
    registry = prometheus.CollectorRegistry()
    requests = prometheus.Counter("requests", "Requests answered", ["path", "status"], registry=registry)
    seconds = prometheus.Histogram("request_seconds", "Time to the last byte", ["path"], registry=registry)
    buckets = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    sizes = prometheus.Histogram(
        "batch_size", "Requests answered together", ["kind"], registry=registry, buckets=buckets
    )
    waiting = prometheus.Gauge("requests_waiting", "Requests that wait", ["kind"], registry=registry)
    service.observe = lambda kind, size: sizes.labels(kind).observe(size)
    for kind, batcher in service.batchers.items():
        waiting.labels(kind).set_function(lambda batcher=batcher: batcher.waiting)
    app.add_middleware(_measured, requests=requests, seconds=seconds)

    @app.get("/metrics", response_class=Response)
    async def read_metrics() -> Response:
        """Return the metrics in the text form of Prometheus."""
        return Response(prometheus.generate_latest(registry), media_type=prometheus.CONTENT_TYPE_LATEST)


def _measured(app: App, requests: prometheus.Counter, seconds: prometheus.Histogram) -> App:
    """Return `app`, whose answers to requests to the API are counted and timed."""

    async def answer(scope, receive, send) -> None:
        if scope["type"] != "http":
            return await app(scope, receive, send)
        status = 500
        start = monotonic()

        async def send_and_note(message: dict) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await app(scope, receive, send_and_note)
        finally:
            path = getattr(scope.get("route"), "path", "")  # not the client's, which would be a label of its choice
            if status in (400, 413, 429) and not path:
                requests.labels("refused before a route", status).inc()
            elif path.startswith("/v1/"):
                requests.labels(path, status).inc()
                seconds.labels(path).observe(monotonic() - start)

    return answer
