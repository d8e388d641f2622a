"""The application: HTTP access to models and indexes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from importlib.metadata import version
from pathlib import Path

from fastapi import APIRouter, FastAPI, Response

from simcse_kit.index.sentence_index import SentenceIndex
from simcse_kit.model import SimCSE
from simcse_kit.serving.direct import Direct
from simcse_kit.serving.documents import document_routes
from simcse_kit.serving.embedding import embedding_routes
from simcse_kit.serving.errors import RESPONSES, ApiError, add_handlers
from simcse_kit.serving.facets import check_facets
from simcse_kit.serving.guard import OPEN, Guard
from simcse_kit.serving.indexes import IndexEngine
from simcse_kit.serving.judging import JudgeEngine, judge_routes
from simcse_kit.serving.metrics import Metrics
from simcse_kit.serving.models import ModelEngines
from simcse_kit.serving.page import add_pages
from simcse_kit.serving.schemas import HealthBody
from simcse_kit.serving.searching import search_routes
from simcse_kit.serving.settings import Limits, PageSettings, ServeError, check_root_path
from simcse_kit.serving.state import ServerState

_DESCRIPTION = """Sentence embeddings and semantic search. Requests of all clients share batches.

`POST /v1/embeddings` has OpenAI's format, `POST /embed` that of text-embeddings-inference. Every error has the form
`{"error": {"message": ..., "type": ..., "code": ...}}`."""


def create_app(
    indexes: Mapping[str, SentenceIndex] | None = None,
    models: Mapping[str, SimCSE] | None = None,
    *,
    api_key: str | Sequence[str] | None = None,
    host: str = "127.0.0.1",
    allowed_hosts: Sequence[str] = (),
    root_path: str = "",
    limits: Limits | None = None,
    writable: bool | Collection[str] = False,
    strict_dimensions: bool = False,
    judgements: str | Path | None = None,
    queries: str | Path | Iterable[str] | None = None,
    page: PageSettings | None = None,
) -> FastAPI:
    """An ASGI application over named indexes and models; the model of each index is served too.

    Args:
        indexes: searched at ``/search``, and shown on the page at ``/``.
        models: give vectors.
        api_key: API key that clients must send as a bearer token, or several valid keys; None: no key needed.
        host: address to bind, for checking the Host header on the loopback.
        allowed_hosts: more names of the server, such as that of a proxy's site, for the checks of Host and Origin.
        root_path: path of the server behind a proxy, such as ``/search``.
        limits: limits of requests.
        writable: ``/add`` and ``/documents`` may change the indexes, and commit if they have a folder; or the names of
            such indexes.
        strict_dimensions: reject ``dimensions`` for a model that is not known to be trained for it (Matryoshka).
        judgements: a folder; ``/judge`` asks which hits of the two indexes are relevant, and saves the answers there.
            Needs ``writable``; nothing can be added meanwhile.
        queries: queries to ask, as in `simcse_kit.judge`.
        page: settings of the page: title, links, examples, filters.

    Raises:
        SearchIndexError: a field of ``page`` that an index does not have.
        ServeError: neither an index nor a model; or judgements without ``writable`` or two indexes of the same texts.
        DataError: the folder holds other content than judgements of these two.
    """
    check_root_path(root_path)
    limits, metrics = limits or Limits(), Metrics()
    if not indexes and not models:
        raise ServeError("nothing to serve; name an index or a model")
    if judgements is not None and not writable:
        raise ServeError("judging saves marks; start with --writable")
    page = page or PageSettings()
    for name, index in (indexes or {}).items():
        if len(index):
            check_facets(page.facets or (), index.fields, name)
    engines = ModelEngines(models or {}, limits, metrics)
    index_engines = {
        name: IndexEngine(
            name,
            index,
            engines,
            limits,
            metrics,
            writable=judgements is None and (writable if isinstance(writable, bool) else name in writable),
            follows=judgements is None,
        )
        for name, index in (indexes or {}).items()
    }
    judged = None if judgements is None else JudgeEngine([*index_engines.values()], judgements, queries)
    served = ServerState(
        engines,
        index_engines,
        limits,
        metrics,
        can_judge=judged is not None,
        page=page,
        strict_dimensions=strict_dimensions,
    )

    def close() -> None:
        if judged is not None:
            judged.close()
        for index in index_engines.values():
            index.close()
        engines.close()

    @asynccontextmanager
    async def life(app: FastAPI) -> AsyncIterator[None]:
        try:
            await engines.warm_up()
        except BaseException:
            await asyncio.to_thread(close)
            raise
        yield
        await asyncio.to_thread(close)  # it may wait for running requests

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
    embedding, searching = embedding_routes(served), search_routes(served)
    app.include_router(embedding)
    app.include_router(searching)
    app.include_router(document_routes(served))
    if judged is not None:
        app.include_router(judge_routes(served, judged))
    app.include_router(_status_routes(served))
    app.add_middleware(
        Direct,
        routes=[*embedding.routes, *searching.routes],
        json_tokens=limits.json_tokens,
        handlers=app.exception_handlers,
    )
    app.add_middleware(
        Guard,
        api_keys=[] if api_key is None else [api_key] if isinstance(api_key, str) else api_key,
        host=host,
        allowed_hosts=allowed_hosts,
        root_path=root_path,
        limits=limits,
        paths=OPEN.union(app.openapi()["paths"]),
        metrics=metrics,
    )
    return app


def _status_routes(served: ServerState) -> APIRouter:
    router = APIRouter(responses=RESPONSES, tags=["status"])
    metrics = served.metrics

    @router.get("/health")
    async def health() -> HealthBody:
        """Whether the server and every worker run; 503 if not, and while models are loading."""
        if not served.alive:
            raise ApiError(503, "a worker of this server has stopped; the log says why. Restart the server")
        return HealthBody()

    @router.get("/metrics", response_class=Response, responses={200: {"content": {"text/plain": {}}}})
    async def figures() -> Response:
        """Metrics in Prometheus's text format."""
        return Response(metrics.text(), media_type=metrics.content_type)

    return router
