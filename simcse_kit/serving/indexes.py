"""Indexes in the server: searched in shared batches, changed, and reloaded when other processes change them."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, NamedTuple, TypeVar
from uuid import uuid4

from simcse_kit.errors import DamagedIndexError, IndexChangedError, SearchIndexError, SlowFilterError
from simcse_kit.index.sentence_index import SentenceIndex
from simcse_kit.search import Hit
from simcse_kit.search.modes import SearchMode, check_mode
from simcse_kit.serving.batching import Batcher, Busy
from simcse_kit.serving.engines import EmbeddedTexts
from simcse_kit.serving.errors import ApiError, IndexFault
from simcse_kit.serving.facets import Facets, facets_of
from simcse_kit.serving.metrics import Metrics
from simcse_kit.serving.models import ModelEngines
from simcse_kit.serving.projection import CorpusMap, available_methods
from simcse_kit.serving.settings import Limits
from simcse_kit.serving.together import BatchedQuery, SharedSearch, search_together
from simcse_kit.types import Vectors

log = logging.getLogger("simcse_kit.serving")

_SEARCHED = 64  # queries per search
_TRIES = 4  # attempts of a request if the index is rebuilt with another model meanwhile
_AGAIN = 5.0  # seconds until the server retries an index that could not be opened
Answer = TypeVar("Answer")


@contextmanager
def as_fault(kind: type[SearchIndexError] = SearchIndexError) -> Iterator[None]:
    """In this block, errors of a ``kind`` become errors of the server, not of the request."""
    try:
        yield
    except (IndexChangedError, SlowFilterError):
        raise
    except kind as error:
        raise IndexFault(str(error)) from error


class Asked(NamedTuple):
    """Vectors (Q, D) of Q queries, from the model with this fingerprint, and hits; no vectors in keyword search."""

    vectors: Vectors | None
    fingerprint: str
    hits: list[list[Hit]]
    truncated: int = 0  # queries that exceed the model's limit


class RowVectors(NamedTuple):
    """Unit vectors (n, D) of n rows, from the model with this fingerprint."""

    unit: Vectors
    fingerprint: str


class AddedRows(NamedTuple):
    """Result of `IndexEngine.add`."""

    ids: list[int | str]
    truncated: int  # sentences that exceed the model's limit


class IndexEngine:
    """An index that many requests share. One thread reads it, one adds to it; a search never waits for a writer.

    If the index is rebuilt with another model, that model is loaded from the disk, and texts embedded with the old one
    are embedded again: each vector carries its model's fingerprint to the search and the commit.
    """

    def __init__(
        self,
        name: str,
        index: SentenceIndex,
        models: ModelEngines,
        limits: Limits,
        metrics: Metrics,
        *,
        writable: bool,
        follows: bool = True,
    ) -> None:
        """``follows=False``: an index that was rebuilt with another model is not loaded."""
        self.name = name
        self.index = index
        self.writable = writable
        self._follows = follows
        self._models = models
        self.model = models.of(index.model)
        self._lock = threading.Lock()  # of reading
        self._seconds = limits.seconds
        self._not_before = 0.0  # monotonic seconds; until then, an index that could not be opened is not retried
        self._maps: dict[str, tuple[int, asyncio.Task[CorpusMap]]] = {}  # with the rows that the index had at that time
        self._facets: tuple[tuple[int, int], Facets] | None = None  # with the commit on which they were counted
        self._batcher: Batcher[BatchedQuery, list[Hit]] = Batcher(
            self._run, name=f"search {name}", largest=_SEARCHED, waiting=limits.queue
        )
        self._adder: Batcher[Callable[[SentenceIndex], Any], Any] = Batcher(
            lambda changes: [self._commit(change) for change in changes],
            name=f"add {name}",
            largest=1,
            waiting=limits.additions,
        )
        metrics.rows.labels(name).set_function(lambda: len(self.index))

    @property
    def view(self) -> SentenceIndex:
        """The last commit read."""
        return self.index.now()

    @property
    def alive(self) -> bool:
        """Whether its workers run."""
        return self._batcher.alive and self._adder.alive

    @property
    def maps(self) -> list[str]:
        """Available methods for its map."""
        return available_methods()

    async def ask(
        self,
        queries: Sequence[str],
        k: int,
        threshold: float | None = None,
        filter: Mapping[str, Any] | None = None,
        mode: SearchMode = "dense",
    ) -> Asked:
        """Embed queries, except in keyword search, and search.

        Raises:
            SearchIndexError: a filter that is invalid or compares an unknown field; a mode that the index does not
                support.
            Busy: too many queries are waiting.
            ApiError: 503 if the index was rebuilt with a model that cannot be loaded.
            IndexFault: the index is damaged.
        """

        check_mode(mode, threshold)

        async def once() -> Asked:
            if mode == "keyword":
                fingerprint = self.index.model.fingerprint()
                return Asked(None, fingerprint, await self._search(queries, None, k, None, filter, mode))
            embedded = await self.embedded(queries, "query")
            hits = await self._search(queries, embedded, k, threshold, filter, mode)
            return Asked(embedded.unit, embedded.fingerprint, hits, len(embedded.truncated))

        return await self.tried(once)

    async def similar(self, id: int | str, k: int, threshold: float | None, filter: Mapping[str, Any] | None) -> Asked:
        """The rows most similar to one row, without it. A missing id raises an `ApiError` of 404."""

        async def once() -> Asked:
            try:
                row = await self.vectors_of([id])
            except SearchIndexError as error:
                raise ApiError(404, str(error)) from error
            (found,) = await self._search([""], row, k + 1, threshold, filter)
            return Asked(row.unit, row.fingerprint, [[hit for hit in found if hit.id != id][:k]])

        return await self.tried(once)

    async def embedded(self, texts: Sequence[str], kind: str) -> EmbeddedTexts:
        """Vectors of texts by the index's model, as in `ModelEngine.embed`."""
        while True:
            engine = self.model
            try:
                return await engine.embed(texts, kind)
            except Busy:
                if engine is self.model:
                    raise  # else it was closed, because the index has another model

    async def tried(self, once: Callable[[], Awaitable[Answer]]) -> Answer:
        """Retry if the index changed to another model meanwhile."""
        for _ in range(_TRIES):
            try:
                return await once()
            except IndexChangedError as error:
                log.debug("index %s: %s", self.name, error)
        raise ApiError(503, f"the index {self.name} is changed all the time; try again")

    async def _search(
        self,
        texts: Sequence[str],
        embedded: EmbeddedTexts | RowVectors | None,
        k: int,
        threshold: float | None,
        filter: Mapping[str, Any] | None,
        mode: SearchMode = "dense",
    ) -> list[list[Hit]]:
        if filter is not None:
            self.index.check_filter(filter)
        condition = None if filter is None else json.dumps(filter)
        shared = SharedSearch(k, threshold, condition, mode, None if embedded is None else embedded.fingerprint)
        vectors = [None] * len(texts) if embedded is None else embedded.unit
        return await self._batcher.submit([BatchedQuery(*both, shared) for both in zip(texts, vectors, strict=True)])

    def _run(self, queries: list[BatchedQuery]) -> list[list[Hit]]:
        results: list[list[Hit]] = [[] for _ in queries]
        with self._lock:
            with as_fault():
                index = self._fresh()
            for shared in {query.shared for query in queries}:
                numbers = [number for number, query in enumerate(queries) if query.shared == shared]
                index.check_mode(shared.mode)  # no fault of the index
                with as_fault():
                    found = search_together(index, [queries[number] for number in numbers], shared)
                for number, hits in zip(numbers, found, strict=True):
                    results[number] = hits
        return results

    def _fresh(self) -> SentenceIndex:
        """The index as it is now, with the model that it has now; the lock is held."""
        try:
            self.index.refresh()
        except IndexChangedError as error:
            self._reopen(error)
            now = self.index.info()
            log.info("index %s: now follows commit %s with model %s", self.name, now.generation, self.index.model.name)
        return self.index

    def _reopen(self, changed: IndexChangedError) -> None:
        reason = f"the index {self.name} was rebuilt or removed, and what is there now"
        if not self._follows:
            raise ApiError(503, f"{reason} is not what is being judged; start the server again") from changed
        if time.monotonic() >= self._not_before:
            try:
                index = self.index.reopened([engine.model for engine in self._models.now.values()])
            except (SearchIndexError, OSError) as error:
                log.warning("index %s: %s", self.name, error)
                self._not_before = time.monotonic() + _AGAIN
            else:
                before = self.model
                self.model = self._models.exchange(before, index.model)
                self.index, self._maps, self._facets = index, {}, None
                self._models.close_unused(before)  # a caller that finds it closed reads `model` again
                return
        raise ApiError(
            503,
            f"{reason} cannot be opened with its model from this server's disk; see the server's log",
        ) from changed

    async def vectors_of(self, ids: Sequence[int | str]) -> RowVectors:
        """Vectors of rows. Raises a `SearchIndexError` for a missing id."""

        def read() -> RowVectors:
            with self._lock, as_fault(DamagedIndexError):
                return RowVectors(self.index.vectors_of(ids), self.index.model.fingerprint())

        return await asyncio.to_thread(read)

    async def add(
        self,
        sentences: Sequence[str],
        ids: Sequence[int | str] | None,
        metadata: Sequence[Mapping[str, Any] | None] | None,
    ) -> AddedRows:
        """Embed sentences, add them and commit, or change nothing.

        Ids are generated if the index has string ids and none are given.

        Raises:
            SearchIndexError: an id that exists, or errors of `SentenceIndex.add`.
            IndexFault: the addition cannot be committed.
            DiskFullError: the disk is full; nothing was added.
            Busy: too many additions are waiting, or as in `ask`.
            ApiError: as in `ask`.
        """

        async def once() -> AddedRows:
            embedded = await self.embedded(sentences, "document")

            def change(now: SentenceIndex) -> list[int | str]:
                chosen = ids
                if chosen is None and now.id_type is str:
                    chosen = [f"added-{uuid4().hex[:12]}" for _ in sentences]
                vectors, fingerprint = embedded.vectors, embedded.fingerprint
                return now.add_vectors(sentences, vectors, chosen, metadata, fingerprint=fingerprint)

            return AddedRows(await self.change(change), len(embedded.truncated))

        return await self.tried(once)

    async def change(self, change: Callable[[SentenceIndex], Answer]) -> Answer:
        """Make a change and commit it, or change nothing; changes run one after the other, as in
        `SentenceIndex.commit`.

        Raises:
            IndexChangedError: the index belongs to another model than the change's vectors.
            SearchIndexError: errors of ``change``.
            IndexFault, DiskFullError, Busy, ApiError: as in `add`.
        """
        done: list[Answer] = await self._adder.submit([change])
        return done[0]

    def _commit(self, change: Callable[[SentenceIndex], Answer]) -> Answer:
        refused: list[SearchIndexError] = []

        def noted(now: SentenceIndex) -> Answer:
            try:
                return change(now)
            except SearchIndexError as error:
                refused.append(error)
                raise

        index = self.fresh()
        try:
            with as_fault():
                return index.commit(noted)
        except IndexFault as fault:
            if refused:
                raise refused[-1] from fault  # an error of the request
            raise

    def fresh(self) -> SentenceIndex:
        """The current index with its current model."""
        with self._lock, as_fault():
            return self._fresh()

    def reload(self) -> SentenceIndex:
        """Like `fresh`; retries an index that could not be opened before."""
        self._not_before = 0.0
        return self.fresh()

    async def facets(self, named: Sequence[str] | None) -> Facets:
        """Fields to filter by, counted on as many rows as a map has; cached until the index changes."""

        def read() -> Facets:
            with self._lock, as_fault():
                index = self._fresh()
                commit = (index.info().generation, len(index))
                if self._facets is None or self._facets[0] != commit:
                    self._facets = commit, facets_of(index.sample(CorpusMap.LARGEST)[0], len(index), named)
                return self._facets[1]

        return await asyncio.to_thread(read)

    def map(self, method: str) -> CorpusMap | None:
        """The map by a method of `maps`. While it is being made, which this call starts, None."""
        task = self._mapping(method)
        if not task.done():
            return None
        self._forget_failed(method)
        return task.result()

    async def drawn(self, method: str) -> CorpusMap:
        """The map, after waiting for it; PCA takes a moment."""
        try:
            return await asyncio.shield(self._mapping(method))
        finally:
            self._forget_failed(method)

    def _forget_failed(self, method: str) -> None:
        """Log a failed map once, and make it again for the next request."""
        maps = self._maps
        task = maps[method][1] if method in maps else None
        if task is not None and task.done() and (task.cancelled() or task.exception() is not None):
            del maps[method]

    def _mapping(self, method: str) -> asyncio.Task[CorpusMap]:
        """Make PCA's map again for an index that has changed; the other methods take too long."""
        count, maps = len(self.index), self._maps
        if method not in maps or (method == "pca" and maps[method][0] != count):
            maps[method] = (count, asyncio.create_task(asyncio.to_thread(self._draw, method)))
        return maps[method][1]

    def _draw(self, method: str) -> CorpusMap:
        with self._lock, as_fault():
            rows, vectors = self.index.sample(CorpusMap.LARGEST)
            fingerprint = self.index.model.fingerprint()
        return replace(CorpusMap.fit(rows, vectors, method), fingerprint=fingerprint)

    def close(self) -> None:
        """Finish waiting requests; an addition that waits for another process is dropped after the time limit."""
        self._adder.close(self._seconds)
        self._batcher.close()
