"""Routes of indexes: search, more like this, add, the map."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Response
from pydantic_core import to_json

from simcse_kit.errors import SearchIndexError
from simcse_kit.search import Hit
from simcse_kit.search.modes import MODES
from simcse_kit.serving.bodies import bounded_route
from simcse_kit.serving.errors import RESPONSES, ApiError
from simcse_kit.serving.indexes import Asked, IndexEngine
from simcse_kit.serving.projection import CorpusMap
from simcse_kit.serving.schemas import (
    Added,
    AddRequest,
    Computing,
    FacetsBody,
    FieldCodes,
    Found,
    IndexCard,
    Info,
    Limit,
    MapBody,
    PageBody,
    SearchRequest,
    SimilarRequest,
)
from simcse_kit.serving.state import ServerState
from simcse_kit.types import Vectors

_SHORT = 160  # characters of a text on the map


def search_routes(served: ServerState) -> APIRouter:
    """The routes, for the served indexes."""
    router = APIRouter(responses=RESPONSES, tags=["search"], route_class=bounded_route(served.limits.json_tokens))

    @router.get("/info")
    async def info() -> Info:
        """What this server serves: indexes, models, limits."""
        return Info(
            name="simcse_kit",
            version=version("simcse-kit"),
            models=list(served.models),
            indexes=[_card(engine) for engine in served.indexes.values()],
            limits=Limit(**vars(served.limits)),
            can_judge=served.can_judge,
            page=PageBody(title=served.page.title, link=served.page.link, queries=list(served.page.queries)),
        )

    @router.post("/search", response_model=Found)
    async def search(request: SearchRequest) -> Response:
        """The sentences nearest in meaning to each query."""
        started = time.perf_counter()
        engine = served.index(request.index)
        queries = served.texts(request.queries, "queries")
        k = served.hits(request.k, len(queries))
        asked = await engine.ask(queries, k, request.threshold, request.filter, request.mode)
        return await found(engine, asked, request.map, started)

    @router.post("/similar", response_model=Found)
    async def similar(request: SimilarRequest) -> Response:
        """The sentences most similar to one sentence of the index, without it."""
        started = time.perf_counter()
        engine = served.index(request.index)
        k = served.hits(request.k)
        asked = await engine.similar(request.id, k, request.threshold, request.filter)
        return await found(engine, asked, request.map, started)

    @router.post("/add")
    async def add(request: AddRequest) -> Added:
        """Add sentences to an index permanently; searches find them at once."""
        engine = served.writable_index(request.index)
        sentences = served.texts(request.sentences, "sentences")
        added = await engine.add(sentences, request.ids, request.metadata)
        return Added(index=engine.name, ids=added.ids, count=len(engine.view), truncated=added.truncated)

    @router.get("/facets")
    async def facets(index: Annotated[str | None, Query()] = None) -> FacetsBody:
        """Fields with few values, to filter by, with row counts for each value."""
        found = await served.index(index).facets(served.page.facets)
        return FacetsBody.model_validate(found, from_attributes=True)

    @router.get("/map", response_model=MapBody, responses={202: {"model": Computing}})
    async def draw(
        response: Response, index: Annotated[str | None, Query()] = None, method: Literal["pca", "umap"] = "pca"
    ) -> Any:
        """A map of a random sample of at most 5,000 sentences; 202 while it is being made."""
        engine = served.index(index)
        drawn = await _map(engine, method)
        if drawn is None:
            response.status_code = 202
            return Response(Computing().model_dump_json(), 202, media_type="application/json")
        found = await engine.facets(served.page.facets)
        return MapBody(
            method=drawn.method,
            points=_points(drawn.points),
            ids=[row.id for row in drawn.rows],
            texts=[row.text if len(row.text) <= _SHORT else row.text[: _SHORT - 1] + "…" for row in drawn.rows],
            shown=len(drawn.rows),
            count=len(engine.view),
            explained=drawn.explained,
            fields=[
                FieldCodes(field=facet.field, values=[one.value for one in facet.values], codes=facet.codes(drawn.rows))
                for facet in found.fields
            ],
        )

    async def found(engine: IndexEngine, asked: Asked, method: str | None, started: float) -> Response:
        places = None if method is None else await _map(engine, method)
        if places is not None and places.fingerprint != asked.fingerprint:
            places = None  # the index changed its model between search and map
        bodies = [[_hit_body(hit) for hit in row] for row in asked.hits]
        points: list[Any] = [None] * len(asked.hits)
        if places is not None:
            points = points if asked.vectors is None else _points(places.place(asked.vectors))
            await _place(bodies, places, engine)
        rows, size = [], 0
        for row in bodies:  # one by one, so that at most one row beyond the limit is made
            rows.append(to_json(row))
            served.check_answer(size := size + len(rows[-1]))
        rest = {
            "index": engine.name,
            "model": engine.model.name,
            "milliseconds": round(1000 * (time.perf_counter() - started), 3),
            "points": points,
            "truncated": asked.truncated,
        }
        content = b'{"hits":[%s],%s' % (b",".join(rows), to_json(rest)[1:])
        return Response(content, media_type="application/json")

    return router


def _hit_body(hit: Hit) -> dict[str, Any]:
    """A `HitBody`; its position on the map is added later."""
    score = min(1.0, max(-1.0, hit.score)) if hit.ranks is None else hit.score
    return hit.to_dict() | {"score": score, "point": None}


async def _place(bodies: Sequence[Sequence[dict[str, Any]]], places: CorpusMap, engine: IndexEngine) -> None:
    """Add positions on the map to hits; deleted or newly encoded hits have none."""
    flat = [body for row in bodies for body in row]
    if not flat:
        return
    with suppress(SearchIndexError):
        rows = await engine.vectors_of([body["id"] for body in flat])
        if rows.fingerprint == places.fingerprint:
            for body, point in zip(flat, _points(places.place(rows.unit)), strict=True):
                body["point"] = point


def _card(engine: IndexEngine) -> IndexCard:
    info = engine.view.info()
    return IndexCard(
        name=engine.name,
        model=engine.model.name,
        pooling=engine.model.model.pooling,
        dimension=info.dimension,
        count=info.count,
        kind="flat" if info.structure is None else info.structure.kind,
        recall=None if info.structure is None else info.structure.recall,
        modes=list(MODES if info.keywords else MODES[:1]),
        can_add=engine.writable,
        maps=engine.maps,
    )


async def _map(engine: IndexEngine, method: str) -> CorpusMap | None:
    """The map, after a short wait if it is fast; None while it is being made."""
    if method not in engine.maps:
        raise ApiError(422, f"map: {method} needs: pip install 'simcse-kit[umap]'")
    return await engine.drawn(method) if method == "pca" else engine.map(method)


def _points(points: Vectors) -> list[list[float]]:
    return [[round(x, 4), round(y, 4)] for x, y in points.tolist()]
