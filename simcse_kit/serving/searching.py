"""Routes over indexes: search, more like this, add, the map."""

from __future__ import annotations

import time
from importlib.metadata import version
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response

from simcse_kit.serving.errors import RESPONSES, ApiError
from simcse_kit.serving.indexes import Asked, IndexEngine
from simcse_kit.serving.projection import CorpusMap
from simcse_kit.serving.schemas import (
    Added,
    AddRequest,
    Computing,
    Found,
    HitBody,
    IndexCard,
    Info,
    Limit,
    MapBody,
    SearchRequest,
    SimilarRequest,
)
from simcse_kit.serving.state import ServerState
from simcse_kit.types import Vectors

_SHORT = 160  # characters of a text on the map


def search_routes(served: ServerState) -> APIRouter:
    """The routes, for the indexes that are served."""
    router = APIRouter(responses=RESPONSES, tags=["search"])

    @router.get("/info")
    async def info() -> Info:
        """What is served: indexes, models, limits."""
        limits = served.limits
        return Info(
            name="simcse_kit",
            version=version("simcse-kit"),
            models=list(served.models),
            indexes=[_card(engine) for engine in served.indexes.values()],
            limits=Limit(
                k=limits.k, sentences=limits.sentences, characters=limits.characters, body_bytes=limits.body_bytes
            ),
            can_judge=served.can_judge,
        )

    @router.post("/search")
    async def search(request: SearchRequest) -> Found:
        """The sentences that mean most nearly the same as each query."""
        started = time.perf_counter()
        engine = served.index(request.index)
        k = served.hits(request.k)
        queries = served.texts(request.queries, "queries")
        asked = await engine.ask(queries, k, request.threshold, request.filter)
        return await _found(engine, asked, request.map, started)

    @router.post("/similar")
    async def similar(request: SimilarRequest) -> Found:
        """The sentences most similar to one of the index, without it."""
        started = time.perf_counter()
        engine = served.index(request.index)
        k = served.hits(request.k)
        asked = await engine.similar(request.id, k, request.threshold, request.filter)
        return await _found(engine, asked, request.map, started)

    @router.post("/add")
    async def add(request: AddRequest) -> Added:
        """Add sentences to an index, for good; they are found at once."""
        engine = served.index(request.index)
        if not engine.writable:
            raise ApiError(403, f"the index {engine.name} is for reading; start with --writable, without --judge")
        sentences = served.texts(request.sentences, "sentences")
        added = await engine.add(sentences, request.ids, request.metadata)
        return Added(index=engine.name, ids=added.ids, count=len(engine.index), truncated=added.truncated)

    @router.get("/map", response_model=MapBody, responses={202: {"model": Computing}})
    async def draw(
        response: Response, index: Annotated[str | None, Query()] = None, method: Literal["pca", "umap"] = "pca"
    ) -> Any:
        """A map of at most 5,000 sentences, drawn at random; 202 while it is being made."""
        engine = served.index(index)
        found = await _map(engine, method)
        if found is None:
            response.status_code = 202
            return Response(Computing().model_dump_json(), 202, media_type="application/json")
        return MapBody(
            method=found.method,
            points=_points(found.points),
            ids=[row.id for row in found.rows],
            texts=[row.text if len(row.text) <= _SHORT else row.text[: _SHORT - 1] + "…" for row in found.rows],
            shown=len(found.rows),
            count=len(engine.index),
            explained=found.explained,
        )

    return router


def _card(engine: IndexEngine) -> IndexCard:
    info = engine.index.info()
    return IndexCard(
        name=engine.name,
        model=engine.model.name,
        pooling=engine.model.model.pooling,
        dimension=info.dimension,
        count=info.count,
        kind="flat" if info.structure is None else info.structure.kind,
        recall=None if info.structure is None else info.structure.recall,
        can_add=engine.writable,
        maps=engine.maps,
    )


async def _map(engine: IndexEngine, method: str) -> CorpusMap | None:
    """The map, waited for where it takes a moment; None while it is being made."""
    if method not in engine.maps:
        raise ApiError(422, f"map: {method} needs: pip install 'simcse-kit[umap]'")
    return await engine.drawn(method) if method == "pca" else engine.map(method)


async def _found(engine: IndexEngine, asked: Asked, method: str | None, started: float) -> Found:
    places = None if method is None else await _map(engine, method)
    if places is not None and places.fingerprint != asked.fingerprint:
        places = None  # the index became another model's between search and map
    bodies = [
        [HitBody(id=hit.id, text=hit.text, score=min(1.0, max(-1.0, hit.score)), metadata=hit.metadata) for hit in row]
        for row in asked.hits
    ]
    points: list[Any] = [None] * len(asked.vectors)
    if places is not None:
        points = _points(places.place(asked.vectors))
        flat = [body for row in bodies for body in row]
        if flat:
            rows = await engine.vectors_of([body.id for body in flat])
            if rows.fingerprint == places.fingerprint:
                for body, point in zip(flat, _points(places.place(rows.vectors)), strict=True):
                    body.point = point
    return Found(
        index=engine.name,
        model=engine.model.name,
        milliseconds=round(1000 * (time.perf_counter() - started), 3),
        hits=bodies,
        points=points,
        truncated=asked.truncated,
    )


def _points(points: Vectors) -> list[list[float]]:
    return [[round(x, 4), round(y, 4)] for x, y in points.tolist()]
