"""Routes that change an index by id: put documents, delete one, reload the index."""

from __future__ import annotations

import asyncio
from typing import Annotated, NamedTuple

import numpy as np
from fastapi import APIRouter, Query

from simcse_kit.errors import DamagedIndexError, IndexChangedError
from simcse_kit.index.incoming import Document
from simcse_kit.index.sentence_index import SentenceIndex
from simcse_kit.index.sync import Compared, SyncCounts
from simcse_kit.serving.bodies import bounded_route
from simcse_kit.serving.errors import RESPONSES, ApiError
from simcse_kit.serving.indexes import IndexEngine, as_fault
from simcse_kit.serving.schemas import (
    DeletedDocument,
    DocumentBody,
    DocumentsRequest,
    ReloadedIndex,
    StoredDocuments,
)
from simcse_kit.serving.state import ServerState

_AT_ONCE = 1024  # rows per call of the model: a document may become many passages
IndexName = Annotated[str | None, Query(description="A name from GET /info; default: the first.")]


class _Stored(NamedTuple):
    counts: SyncCounts
    truncated: int = 0


def document_routes(served: ServerState) -> APIRouter:
    """The routes, for writable indexes."""
    for engine in served.indexes.values():
        if engine.writable:
            engine.index.compare([], [])  # build the passage splitter before others use the model
    router = APIRouter(responses=RESPONSES, tags=["documents"], route_class=bounded_route(served.limits.json_tokens))

    @router.put("/documents")
    async def store(request: DocumentsRequest, index: IndexName = None) -> StoredDocuments:
        """Add documents, or replace those with the same ids, permanently. Only changes are encoded."""
        engine = served.writable_index(index)
        served.texts([document.text for document in request.documents], "documents")
        stored = await engine.tried(lambda: _store(engine, request.documents))
        counts = stored.counts
        return StoredDocuments(
            index=engine.name,
            added=counts.added,
            changed=counts.changed,
            unchanged=counts.unchanged,
            count=len(engine.view),
            truncated=stored.truncated,
        )

    @router.delete("/documents/{id:path}")
    async def delete(id: str, index: IndexName = None) -> DeletedDocument:
        """Delete a document permanently; in an index of passages, with all its passages. The id is percent-encoded."""
        engine = served.writable_index(index)

        def change(now: SentenceIndex) -> int | str:
            ids = [] if now.id_type is None else now.as_ids([id])
            if not now.delete_documents(ids):
                raise ApiError(404, f"the index {engine.name} has no id {id!r}", "id_not_found")
            return ids[0]

        deleted = await engine.tried(lambda: engine.change(change))
        return DeletedDocument(index=engine.name, id=deleted, count=len(engine.view))

    @router.post("/reload")
    async def reload(index: IndexName = None) -> ReloadedIndex:
        """Reload the index now, with its model if that has changed. Searches also reload it on their own."""
        engine = served.writable_index(index)
        info = (await asyncio.to_thread(engine.reload)).info()
        return ReloadedIndex(index=engine.name, model=engine.model.name, count=info.count, commit=info.generation)

    return router


async def _store(engine: IndexEngine, documents: list[DocumentBody]) -> _Stored:
    def compare() -> tuple[Compared, str]:
        index = engine.fresh().now()
        with as_fault(DamagedIndexError):
            found = index.compare(
                [document.text for document in documents],
                [document.id for document in documents],
                [document.metadata for document in documents],
            )
        return found, index.model.fingerprint()

    found, fingerprint = await asyncio.to_thread(compare)
    wanted = found.new + found.changed
    if not wanted:
        return _Stored(SyncCounts(unchanged=found.unchanged))
    return await _put(engine, wanted, fingerprint, found.unchanged)


async def _put(engine: IndexEngine, wanted: list[Document], fingerprint: str, unchanged: int) -> _Stored:
    texts = [row.text for document in wanted for row in document.rows]
    parts = [await engine.embedded(texts[at : at + _AT_ONCE], "document") for at in range(0, len(texts), _AT_ONCE)]
    if any(part.fingerprint != fingerprint for part in parts):
        raise IndexChangedError("the model of the index changed while documents were embedded; send them again")
    vectors = np.concatenate([part.vectors for part in parts])
    counts = await engine.change(lambda now: now.put_vectors(wanted, vectors, fingerprint=fingerprint))
    return _Stored(counts._replace(unchanged=unchanged), sum(len(part.truncated) for part in parts))
