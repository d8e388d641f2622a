"""Models and indexes as the server runs them: requests of many clients in common batches."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import numpy as np

from simcse_kit.errors import DamagedIndexError, SearchIndexError, SlowFilterError
from simcse_kit.index.sentence_index import SentenceIndex
from simcse_kit.model import SimCSE
from simcse_kit.search import Hit
from simcse_kit.search.vectors import normalized
from simcse_kit.serving.batching import Batcher
from simcse_kit.serving.metrics import Metrics
from simcse_kit.serving.projection import CorpusMap, available_methods
from simcse_kit.serving.settings import Limits
from simcse_kit.types import Vectors

_LARGEST = 256  # sentences in one batch: a quarter of a second of a small model on two cores
_ENDLESS = 2**30  # tokens: nothing is cut
_SEARCHED = 64  # queries that are searched at once


class _Text(NamedTuple):
    text: str
    prompt: str


class _Encoded(NamedTuple):
    vector: Vectors  # (D,)
    tokens: int  # with special ones, before anything is cut


class EmbeddedTexts(NamedTuple):
    """Vectors (N, D) of N texts as the model gives them, and what they took."""

    vectors: Vectors
    tokens: list[int]  # of each text, special ones included, before anything was cut
    truncated: list[int]  # numbers of texts that are longer than the model reads

    @property
    def unit(self) -> Vectors:
        """The vectors at length 1."""
        return normalized_copy(self.vectors)


class ModelEngine:
    """A model that many requests share."""

    def __init__(self, name: str, model: SimCSE, limits: Limits, metrics: Metrics) -> None:
        self.name = name
        self.model = model
        self._width = model.get_embedding_dimension()
        self._sentences = metrics.sentences.labels(name)
        self._truncated = metrics.truncated.labels(name)
        self._batcher: Batcher[_Text, _Encoded] = Batcher(
            self._run,
            name=f"encode {name}",
            largest=_LARGEST,
            waiting=limits.queue,
            on_batch=metrics.batch_size.labels(name).observe,
        )
        metrics.waiting.labels(name).set_function(lambda: self._batcher.waiting)

    @property
    def width(self) -> int:
        """Numbers in a vector."""
        return self._width

    async def embed(
        self, texts: Sequence[str], kind: str | None = None, prompt_name: str | None = None
    ) -> EmbeddedTexts:
        """Vectors of texts; ``kind`` query or document: with the model's prompt of that name, where it has one.

        Raises:
            Busy: too much waits already.
        """
        prompt = self._prompt(kind, prompt_name)
        encoded = await self._batcher.submit([_Text(text, prompt) for text in texts])
        longest = self.model.max_seq_length
        tokens = [one.tokens for one in encoded]
        truncated = [number for number, count in enumerate(tokens) if longest is not None and count > longest]
        self._sentences.inc(len(texts))
        self._truncated.inc(len(truncated))
        vectors = np.stack([one.vector for one in encoded]) if encoded else np.zeros((0, self._width), np.float32)
        return EmbeddedTexts(vectors, tokens, truncated)

    def _prompt(self, kind: str | None, name: str | None) -> str:
        prompts = self.model.prompts
        if name is not None:
            return prompts[name]
        return prompts[kind] if kind in prompts else self.model.default_prompt()

    def _run(self, texts: list[_Text]) -> list[_Encoded]:
        results: list[_Encoded | None] = [None] * len(texts)
        for prompt in {text.prompt for text in texts}:
            numbers = [number for number, text in enumerate(texts) if text.prompt == prompt]
            own = [texts[number].text for number in numbers]
            vectors = self.model.encode(own, prompt=prompt)
            lengths = self.model.tokenize([prompt + text for text in own], max_seq_length=_ENDLESS).lengths
            for number, vector, tokens in zip(numbers, vectors, lengths, strict=True):
                results[number] = _Encoded(vector, int(tokens))
        return results  # type: ignore[return-value]

    def close(self) -> None:
        """Finish what waits."""
        self._batcher.close()


def normalized_copy(vectors: Vectors) -> Vectors:
    """The vectors (N, D) at length 1; a zero vector stays."""
    return normalized(np.array(vectors, dtype=np.float32, order="C"))


class IndexFault(Exception):
    """The index cannot answer, and it is not the request's fault."""


@contextmanager
def _fault(kind: type[SearchIndexError] = SearchIndexError) -> Iterator[None]:
    """``kind``: the errors that are not the request's fault."""
    try:
        yield
    except SlowFilterError:
        raise
    except kind as error:
        raise IndexFault(str(error)) from error


class _Query(NamedTuple):
    vector: Vectors  # (D,)
    k: int
    threshold: float | None
    filter: str | None  # as JSON: equal ones are searched together


class IndexEngine:
    """An index that many requests share; one thread at a time touches it."""

    def __init__(
        self, name: str, index: SentenceIndex, model: ModelEngine, limits: Limits, metrics: Metrics, *, writable: bool
    ) -> None:
        self.name = name
        self.index = index
        self.model = model
        self.writable = writable
        self._lock = threading.Lock()
        self._maps: dict[str, tuple[int, asyncio.Task[CorpusMap]]] = {}  # with the rows that the index had then
        self._batcher: Batcher[_Query, list[Hit]] = Batcher(
            self._run, name=f"search {name}", largest=_SEARCHED, waiting=limits.queue
        )
        metrics.rows.labels(name).set_function(lambda: len(index))

    @property
    def maps(self) -> list[str]:
        """How its map can be drawn."""
        return available_methods()

    async def search(
        self, vectors: Vectors, k: int, threshold: float | None, filter: Mapping[str, Any] | None
    ) -> list[list[Hit]]:
        """Hits of unit query vectors (Q, D), as `SentenceIndex.search_vectors`.

        Raises:
            SearchIndexError: a filter that cannot be read, takes too long, or compares an unknown field.
            Busy: too much waits already.
            IndexFault: the index is damaged, or of another model by now.
        """
        if filter is not None:
            self.index.check_filter(filter)
        condition = None if filter is None else json.dumps(filter)
        return await self._batcher.submit([_Query(vector, k, threshold, condition) for vector in vectors])

    def _run(self, queries: list[_Query]) -> list[list[Hit]]:
        results: list[list[Hit]] = [[] for _ in queries]
        with self._lock, _fault():
            self.index.refresh()
            for shared in {query[1:] for query in queries}:
                numbers = [number for number, query in enumerate(queries) if query[1:] == shared]
                k, threshold, condition = shared
                found = self.index.search_vectors(
                    np.stack([queries[number].vector for number in numbers]),
                    k,
                    threshold,
                    None if condition is None else json.loads(condition),
                )
                for number, hits in zip(numbers, found, strict=True):
                    results[number] = hits
        return results

    async def vectors_of(self, ids: Sequence[int | str]) -> Vectors:
        """Unit vectors (n, D) of rows; one that is not there is a `SearchIndexError`."""

        def read() -> Vectors:
            with self._lock, _fault(DamagedIndexError):
                return self.index.vectors_of(ids)

        return await asyncio.to_thread(read)

    async def add(
        self,
        sentences: Sequence[str],
        vectors: Vectors,
        ids: Sequence[int | str] | None,
        metadata: Sequence[Mapping[str, Any] | None] | None,
    ) -> list[int | str]:
        """Add sentences and commit; returns their ids, which are made up where the index has strings and none is given.

        Raises:
            SearchIndexError: an id that is taken, or what `SentenceIndex.add` refuses.
            IndexFault: it cannot be committed.
            DiskFullError: no room; nothing was added.
        """

        def write() -> list[int | str]:
            with self._lock:
                with _fault():
                    self.index.refresh()
                chosen = ids
                if chosen is None and self.index.id_type is str:
                    chosen = [f"added-{uuid4().hex[:12]}" for _ in sentences]
                made = self.index.add_vectors(sentences, vectors, chosen, metadata)
                if self.index.folder is not None:
                    self._commit(made)
                return made

        return await asyncio.to_thread(write)

    def _commit(self, made: Sequence[int | str]) -> None:
        try:
            with _fault():
                self.index.save(structure=False)
        except BaseException:
            self.index.delete(made)  # whoever asked is told that they were not added
            raise

    def map(self, method: str) -> CorpusMap | None:
        """The map by a method of `maps`, or None while it is being made, which this begins."""
        task = self._mapping(method)
        return task.result() if task.done() else None

    async def drawn(self, method: str) -> CorpusMap:
        """The map, waited for; PCA takes a moment."""
        return await asyncio.shield(self._mapping(method))

    def _mapping(self, method: str) -> asyncio.Task[CorpusMap]:
        """PCA's map is made anew for an index that has changed; the others take too long for that."""
        count = len(self.index)
        if method not in self._maps or (method == "pca" and self._maps[method][0] != count):
            self._maps[method] = (count, asyncio.create_task(asyncio.to_thread(self._draw, method)))
        return self._maps[method][1]

    def _draw(self, method: str) -> CorpusMap:
        with self._lock:
            rows, vectors = self.index.sample(CorpusMap.LARGEST)
        return CorpusMap.fit(rows, vectors, method)

    def close(self) -> None:
        """Finish what waits."""
        self._batcher.close()


def target_name(target: str) -> str:
    """What a folder or hub name is called in requests: its last part."""
    return Path(target).name or target
