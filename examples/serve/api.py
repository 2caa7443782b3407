"""The JSON API: versioned paths, typed requests and answers, and an OpenAPI page without scripts from elsewhere."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import PurePath
from typing import Annotated, Literal

from fastapi import APIRouter, FastAPI, File, Form, Query, Request, UploadFile
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.trustedhost import TrustedHostMiddleware
from fastapi.responses import JSONResponse, Response, StreamingResponse
from fastapi.routing import APIRoute
from fastapi_offline import FastAPIOffline

import common
from common.io.terminal import warn
from examples.image_captioning.config import LENGTH_PENALTY
from examples.serve import schemas
from examples.serve.limits import MAX_BEAM, MAX_UPLOAD, RateLimit, Refused, limit_requests, refuse_other_hosts
from examples.serve.metrics import add_metrics
from examples.serve.service import Service

_REFUSALS = {
    404: {"model": schemas.Refusal, "description": "no such run"},
    413: {"model": schemas.Refusal, "description": "too large"},
    422: {"model": schemas.Refusal, "description": "a value out of its range"},
    429: {"model": schemas.Refusal, "description": "busy, or too many requests"},
    503: {"model": schemas.Refusal, "description": "the run cannot be loaded"},
}
WARM_UP_ORDER = ("nmt_attention", "text_generation", "dcgan", "image_captioning")
"""The slowest at its first request comes first, before the server listens."""
_SIDES = Literal["characters", "source", "target", "words"]
_VECTOR_EXAMPLES = Literal["text_generation", "nmt_attention", "image_captioning"]


def create_app(service: Service, requests_per_minute: int = 600, hosts: Sequence[str] = ("*",)) -> FastAPI:
    """Return the application of a service: all paths, the limits, and the metrics.

    At most `requests_per_minute` are answered from one address. `hosts` are the names of this server; a request for
    another name is refused, because a page of a stranger may have had its name point here.
    """

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        first, *others = WARM_UP_ORDER
        await service.warm_up(first)
        warming = asyncio.create_task(service.warm_up(*others))
        yield
        warming.cancel()

    app = FastAPIOffline(
        title="Eager examples",
        version=common.__version__,
        description="Trained models that write text, generate images, translate and caption photos.",
        lifespan=lifespan,
    )
    app.include_router(_router(service))
    app.exception_handler(RequestValidationError)(_invalid)
    app.exception_handler(400)(_unreadable)  # FastAPI's, for a body that it cannot decode
    app.exception_handler(Exception)(_unexpected)

    @app.get("/healthz")
    async def health() -> dict[str, str]:
        """Answer that the server is up."""
        return {"status": "ok"}

    app.add_middleware(limit_requests, rate=RateLimit(requests_per_minute))
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=hosts)
    app.add_middleware(refuse_other_hosts)
    add_metrics(app, service)  # last, so that it also counts what these refuse
    return app


async def _invalid(_: Request, error: RequestValidationError) -> Response:
    return schemas.refusal(error.errors()[0]).response()


async def _unreadable(_: Request, _error: Exception) -> Response:
    return Refused("The body cannot be read; send JSON in UTF-8, or a form with the photo.").response()


async def _unexpected(request: Request, error: Exception) -> Response:
    warn(f"error: {request.url.path}: {type(error).__name__}: {error}")
    return JSONResponse({"detail": "Something went wrong in the server; its log says what."}, 500)


class _CancelOnDisconnect(APIRoute):
    """A route whose work is cancelled when the client leaves, so that nothing of it waits in a batcher."""

    def get_route_handler(self):
        handle = super().get_route_handler()

        async def answer(request: Request) -> Response:
            try:
                await request.body()  # `request` keeps it; after it, the only message is that the client has left
            except Refused:
                raise
            except Exception:  # Starlette's, of a client that leaves before the end of its body
                return Response(status_code=499)
            work, left = (asyncio.ensure_future(each) for each in (handle(request), request.receive()))
            try:
                await asyncio.wait((work, left), return_when=asyncio.FIRST_COMPLETED)
                return work.result() if work.done() else Response(status_code=499)
            finally:
                work.cancel()
                left.cancel()

        return answer


def _router(service: Service) -> APIRouter:
    router = APIRouter(prefix="/v1", responses=_REFUSALS, route_class=_CancelOnDisconnect)

    @router.get("/runs")
    async def list_runs() -> list[schemas.RunSummary]:
        """List the finished runs, the newest first."""
        runs = service.registry.runs()
        newest = {run.example: run.id for run in reversed(runs)}
        names = ("id", "name", "example", "summary", "created")
        return [
            schemas.RunSummary(newest=newest[run.example] == run.id, **{name: getattr(run, name) for name in names})
            for run in runs
        ]

    @router.post("/text/generate", responses={200: {"content": {"application/x-ndjson": {}}}})
    async def generate_text(request: schemas.GenerateText) -> StreamingResponse:
        """Continue a prompt: a stream of lines, each a JSON object with the next part of the text."""
        pieces = service.generate_text(request)
        first = await anext(pieces)  # what is refused is refused before the stream begins
        return StreamingResponse(_json_lines(first, pieces), media_type="application/x-ndjson")

    @router.post("/text/loss")
    async def measure_text(request: schemas.MeasureText) -> schemas.TextLosses:
        """Measure the loss of each character of a text after its first token."""
        return await service.measure_text(request)

    @router.post("/dcgan/images")
    async def generate_images(request: schemas.GenerateImages) -> schemas.Images:
        """Generate the images of a seed, or of given latents."""
        return await service.images(request)

    @router.post("/translate")
    async def translate(request: schemas.TranslateSentences) -> schemas.Translations:
        """Translate sentences."""
        return await service.translate(request)

    @router.post("/translate/score")
    async def score_translation(request: schemas.ScoreTranslation) -> schemas.TranslationScore:
        """Measure how likely the model finds a translation."""
        return await service.score(request)

    @router.post("/caption")
    async def caption(
        photo: Annotated[UploadFile, File(description="PNG, JPEG, WebP, GIF or BMP")],
        run: Annotated[schemas.RunId | None, Form()] = None,
        beam: Annotated[int, Form(ge=1, le=MAX_BEAM)] = 3,
        n_best: Annotated[int, Form(ge=1, le=MAX_BEAM)] = 1,
        length_penalty: Annotated[float, Form(ge=0, le=5)] = LENGTH_PENALTY,
    ) -> schemas.Captions:
        """Caption a photo."""
        if n_best > beam:
            raise Refused(f"n_best should be at most beam, which is {beam}.")
        name = PurePath(photo.filename or "the photo").name
        image, _ = await service.read_photo(await photo.read(MAX_UPLOAD + 1), name, run)
        return await service.caption(image, run, beam, n_best, length_penalty)

    @router.get("/vectors/neighbours")
    async def neighbours(
        example: _VECTOR_EXAMPLES,
        side: _SIDES,
        symbol: Annotated[str, Query(min_length=1, max_length=100)],
        run: schemas.RunId | None = None,
    ) -> list[schemas.Neighbour]:
        """List the ten symbols whose embeddings are nearest to that of `symbol`."""
        table = await service.embeddings(example, run, side)
        return [schemas.Neighbour(symbol=name, similarity=value) for name, value in table.neighbours(symbol)]

    @router.get("/vectors/map")
    async def map_of_embeddings(
        example: _VECTOR_EXAMPLES, side: _SIDES, run: schemas.RunId | None = None
    ) -> list[schemas.MapPoint]:
        """Map the embeddings of the first 300 symbols of the vocabulary to two dimensions."""
        symbols, points = (await service.embeddings(example, run, side)).map()
        return [schemas.MapPoint(symbol=name, x=x, y=y) for name, (x, y) in zip(symbols, points.tolist(), strict=True)]

    return router


async def _json_lines(first: str, rest: AsyncIterator[str]) -> AsyncIterator[str]:
    yield json.dumps({"text": first}) + "\n"
    try:
        async for piece in rest:
            yield json.dumps({"text": piece}) + "\n"
    except Refused as refusal:  # the status is sent by then
        yield json.dumps({"detail": refusal.detail}) + "\n"
