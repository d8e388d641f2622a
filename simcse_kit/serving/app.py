"""The application: models and indexes behind HTTP."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from fastapi import APIRouter, FastAPI, Response

from simcse_kit.index.sentence_index import SentenceIndex
from simcse_kit.model import SimCSE
from simcse_kit.serving.embedding import embedding_routes
from simcse_kit.serving.errors import RESPONSES, add_handlers
from simcse_kit.serving.guard import OPEN, Guard
from simcse_kit.serving.indexes import IndexEngine
from simcse_kit.serving.judging import JudgeEngine, judge_routes
from simcse_kit.serving.metrics import Metrics
from simcse_kit.serving.models import ModelEngines
from simcse_kit.serving.page import add_pages
from simcse_kit.serving.schemas import HealthBody
from simcse_kit.serving.searching import search_routes
from simcse_kit.serving.settings import Limits, ServeError
from simcse_kit.serving.state import ServerState

_DESCRIPTION = """Sentence embeddings and semantic search. Requests of all clients are batched together.

`POST /v1/embeddings` is OpenAI's, `POST /embed` is text-embeddings-inference's. Every error is
`{"error": {"message": ..., "type": ..., "code": ...}}`."""


def create_app(
    indexes: Mapping[str, SentenceIndex] | None = None,
    models: Mapping[str, SimCSE] | None = None,
    *,
    api_key: str | None = None,
    host: str = "127.0.0.1",
    limits: Limits | None = None,
    writable: bool = False,
    judgements: str | Path | None = None,
    queries: str | Path | Iterable[str] | None = None,
) -> FastAPI:
    """An ASGI application over indexes and models by name; an index's model is served too.

    Args:
        indexes: are searched at ``/search``, and shown on the page at ``/``.
        models: give vectors.
        api_key: what requests must bear; None: none.
        host: where it will be bound, for the check of the Host header on the loopback.
        limits: of requests.
        writable: ``/add`` may add to the indexes, and commit where they have a folder.
        judgements: a folder; ``/judge`` asks which hits of the two indexes are relevant, and saves it there. It takes
            ``writable``, and nothing is added meanwhile.
        queries: that are asked, as in `simcse_kit.judge`.

    Raises:
        ServeError: neither an index nor a model; or judgements without ``writable`` or two indexes of the same texts.
        DataError: the folder holds something else than judgements of these two.
    """
    limits, metrics = limits or Limits(), Metrics()
    if not indexes and not models:
        raise ServeError("there is nothing to serve; name an index or a model")
    if judgements is not None and not writable:
        raise ServeError("judging writes into its folder; make the server writable")
    engines = ModelEngines(models or {}, limits, metrics)
    index_engines = {
        name: IndexEngine(
            name,
            index,
            engines,
            limits,
            metrics,
            writable=writable and judgements is None,
            follows=judgements is None,
        )
        for name, index in (indexes or {}).items()
    }
    judged = None if judgements is None else JudgeEngine([*index_engines.values()], judgements, queries)
    served = ServerState(engines, index_engines, limits, metrics, judged is not None)

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        yield
        if judged is not None:
            judged.close()
        for index in index_engines.values():
            index.close()
        engines.close()

    app = FastAPI(
        title="simcse_kit",
        version=version("simcse-kit"),
        description=_DESCRIPTION,
        lifespan=life,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    add_handlers(app, served.without_paths)
    add_pages(app, page=bool(index_engines))
    app.include_router(embedding_routes(served))
    app.include_router(search_routes(served))
    if judged is not None:
        app.include_router(judge_routes(served, judged))
    app.include_router(_status_routes(metrics))
    paths = OPEN.union(app.openapi()["paths"])
    app.add_middleware(Guard, api_key=api_key, host=host, limits=limits, paths=paths, metrics=metrics)
    return app


def _status_routes(metrics: Metrics) -> APIRouter:
    router = APIRouter(responses=RESPONSES, tags=["status"])

    @router.get("/health")
    async def health() -> HealthBody:
        """Whether the server answers."""
        return HealthBody()

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def figures() -> Response:
        """Counters in Prometheus's text format."""
        return Response(metrics.text(), media_type=metrics.content_type)

    return router
