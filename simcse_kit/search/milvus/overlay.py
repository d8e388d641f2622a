"""Saved rows in Milvus and unsaved ones in memory, read as one collection."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from simcse_kit.errors import SearchIndexError
from simcse_kit.search.base import BaseCollection
from simcse_kit.search.content import Content
from simcse_kit.search.filters import Condition
from simcse_kit.search.milvus.filters import to_milvus
from simcse_kit.search.milvus.remote import BATCH_ROWS, Remote, is_lite
from simcse_kit.search.milvus.schema import TEXT_FIELDS, State, check_fits, milvus_index, row_of
from simcse_kit.search.milvus.searching import Searching, by_bm25, nearest
from simcse_kit.search.rows import Hit, Id, IndexRow
from simcse_kit.search.structure import TARGET_RECALL
from simcse_kit.search.vectors import Mask, Nearest, merged
from simcse_kit.types import Vectors


class Overlay(BaseCollection):
    """Reading, and changes in memory, of `MilvusCollection`, which adds opening and saving.

    Rows in Milvus have numbers below ``_base``, rows in memory numbers from there on.
    """

    def __init__(
        self,
        dimension: int,
        kind: str = "auto",
        target_recall: float = TARGET_RECALL,
        *,
        hybrid: bool = False,
        uri: str,
        token: str | None = None,
    ) -> None:
        super().__init__(dimension, kind, target_recall, hybrid=hybrid)
        milvus_index(kind, lite=is_lite(uri))
        self._uri, self._token = uri, token
        self._remote: Remote | None = None
        self._state: State | None = None  # as last recorded
        self._stored = 0  # rows in Milvus at the last save
        self._reset(0)

    def _reset(self, base: int) -> None:
        """Drop pending changes."""
        self._base = base  # number of the first pending row
        self._pending = Content.empty(self.dimension)  # numbered from 0
        self._hidden: set[int] = set()  # saved rows that are deleted, or replaced by a pending row
        self._sent = 0  # pending rows that a failed save has already sent

    def fork(self) -> Self:
        """See `BaseCollection.fork`."""
        made = super().fork()
        made._hidden = set(self._hidden)
        return made

    @property
    def uri(self) -> str | None:
        """See `BaseCollection.uri`."""
        return self._uri

    @property
    def folder(self) -> Path | None:
        """Name of the collection of the last open or save."""
        return None if self._remote is None else Path(self._remote.name)

    def __len__(self) -> int:
        return self._there + len(self._pending)

    @property
    def _there(self) -> int:
        """Live rows in Milvus."""
        return self._stored - sum(number < self._base for number in self._hidden)

    @property
    def _changed(self) -> bool:
        return bool(self._pending.pending.count or self._hidden)

    def _append(self, unit: Vectors, ids: Sequence[Id], texts: Sequence[str], metadata: Sequence[str | None]) -> None:
        check_fits(list(ids), list(texts), list(metadata), words=self.keywords is not None)
        self._pending = self._pending.added(unit, ids, texts, metadata)

    def _remove(self, numbers: Sequence[int]) -> None:
        local = [number - self._base for number in numbers if number >= self._base]
        self._pending = self._pending.deleted(local)
        self._hidden.update(number for number in numbers if number < self._base + self._sent)

    def _expression(self, condition: Condition | None = None) -> str:
        """Expression for the rows in Milvus that are live and match a condition."""
        parts = [] if condition is None else [f"({to_milvus(condition)})"]
        if self._hidden:
            parts.append(f"number not in {sorted(self._hidden)}")
        if self._pending.pending.count:  # rows with this number or a larger one are pending, or another writer's
            parts.append(f"number < {self._base}")
        return " and ".join(parts)

    def _windows(self, fields: Sequence[str], condition: Condition | None = None) -> Iterator[list[dict[str, Any]]]:
        """Live rows in Milvus, in order."""
        if self._remote is not None and self._there:
            yield from self._remote.windows(self._base, fields, self._expression(condition))

    def found(self, ids: Sequence[Id]) -> dict[Id, int]:
        found: dict[Id, int] = {}
        own = [id_ for id_ in ids if type(id_) is self._id_type]
        if self._remote is not None and self._there and own:
            for record in self._remote.by_id(own, ["id", "number"]):
                number = int(record["number"])
                if number not in self._hidden and (number < self._base or not self._pending.pending.count):
                    found[record["id"]] = number
        return found | {id_: self._base + local for id_, local in self._pending.numbers(ids).items()}

    def _matching(self, condition: Condition) -> list[int]:
        there = [number for found in self._windows(["number"], condition) for number in _numbers_of(found)]
        return there + (self._base + np.flatnonzero(self._pending.matching(condition))).tolist()

    def live(self) -> NDArray[np.int64]:
        there = [number for found in self._windows(["number"]) for number in _numbers_of(found)]
        return np.array([*there, *(self._base + np.flatnonzero(self._pending.live)).tolist()], dtype=np.int64)

    def _split(self, numbers: Sequence[int]) -> tuple[list[int], list[int]]:
        """(numbers of rows in Milvus, numbers of pending rows from 0)."""
        known = self._base + self._pending.pending.count
        there = [n for n in numbers if n < self._base or n >= known]
        return there, [n - self._base for n in numbers if self._base <= n < known]

    def _take(self, numbers: Sequence[int]) -> Vectors:
        there, local = self._split(numbers)
        found: dict[int, Any] = {}
        if there and self._remote is not None:
            found = {int(record["number"]): record["vector"] for record in self._remote.by_number(there, ["vector"])}
        if local:
            own = self._pending.vectors.take(np.array(local, dtype=np.int64))
            found |= {self._base + number: vector for number, vector in zip(local, own, strict=True)}
        self._check_there(numbers, found)
        out = np.empty((len(numbers), self.dimension), dtype=np.float32)
        for place, number in enumerate(numbers):
            out[place] = found[number]
        return out

    def fetch(self, numbers: Sequence[int]) -> dict[int, IndexRow]:
        """Rows by number, their position in the order of adding."""
        there, local = self._split(numbers)
        found = {self._base + number: row for number, row in self._pending.fetch(local).items()}
        if there and self._remote is not None:
            found |= {int(one["number"]): row_of(one) for one in self._remote.by_number(there, TEXT_FIELDS)}
        self._check_there(numbers, found)
        return found

    def _check_there(self, numbers: Sequence[int], found: dict[int, Any]) -> None:
        if missing := set(numbers) - found.keys():
            raise SearchIndexError(
                f"{self._remote} lacks row {min(missing)}; another process changed it: open it again"
            )

    def rows(self) -> Iterator[tuple[IndexRow, Vectors]]:
        """See `BaseCollection.rows`."""
        for found in self._windows([*TEXT_FIELDS, "vector"]):
            for record in found:
                yield row_of(record), np.asarray(record["vector"], dtype=np.float32)
        yield from self._pending.rows()

    def _chunks(self) -> Iterator[tuple[NDArray[np.int64], Vectors]]:
        """(numbers, vectors) of all rows, in batches."""
        for found in self._windows(["vector"]):
            yield np.array(_numbers_of(found)), np.array([record["vector"] for record in found], dtype=np.float32)
        local = np.flatnonzero(self._pending.live)
        for at in range(0, len(local), BATCH_ROWS):
            own = local[at : at + BATCH_ROWS]
            yield self._base + own, self._pending.vectors.take(own)

    def unit_vectors(self) -> tuple[NDArray[np.int64], Vectors]:
        """See `BaseCollection.unit_vectors`."""
        parts = list(self._chunks())
        if not parts:
            return np.zeros(0, np.int64), np.zeros((0, self.dimension), np.float32)
        return np.concatenate([numbers for numbers, _ in parts]), np.concatenate([vectors for _, vectors in parts])

    def neighbors(self, k: int, batch: int) -> Iterator[tuple[NDArray[np.int64], Nearest]]:
        """See `BaseCollection.neighbors`."""
        for numbers, vectors in self._chunks():
            found, _ = self._nearest(vectors, min(k + 1, len(self)), None, [])
            own = found.rows == numbers[:, None]
            yield numbers, merged([Nearest(np.where(own, -np.inf, found.scores), np.where(own, -1, found.rows))], k)

    def _hits(self, queries: Vectors, k: int, threshold: float | None, condition: Condition | None) -> list[list[Hit]]:
        if not len(self):
            return [[] for _ in queries]
        found, rows = self._nearest(queries, min(k, len(self)), condition, TEXT_FIELDS)
        least = -np.inf if threshold is None else threshold
        good = (found.rows >= 0) & (found.scores >= least)
        return [
            [Hit.of(rows[number], score) for score, number, fits in zip(*three, strict=True) if fits]
            for three in zip(found.scores, found.rows.tolist(), good, strict=True)
        ]

    def _ranked(
        self, queries: Sequence[str], vectors: Vectors | None, k: int, condition: Condition | None
    ) -> tuple[Nearest, Nearest | None]:
        if self._remote is None or self._pending.live.any():
            raise SearchIndexError(
                "keyword search in Milvus covers only saved rows, and this index has unsaved ones: save it first"
            )
        by_words = by_bm25(self._remote, queries, min(k, len(self)), self._expression(condition))
        if vectors is None:
            return by_words, None
        return by_words, self._nearest(vectors, min(k, len(self)), condition, [])[0]

    @property
    def _searching(self) -> Searching:
        measured = None if self._state is None else self._state.measured
        return Searching(milvus_index(self.kind), None if measured is None else measured.effort)

    def _nearest(
        self, queries: Vectors, k: int, condition: Condition | None, fields: Sequence[str]
    ) -> tuple[Nearest, dict[int, IndexRow]]:
        """The k nearest rows of unit queries (Q, D), saved and pending, with their fields if requested."""
        parts: list[Nearest] = []
        rows: dict[int, IndexRow] = {}
        if self._remote is not None and self._there:
            near, rows = nearest(self._remote, queries, k, self._expression(condition), fields, self._searching)
            parts.append(near)
        allowed: Mask = self._pending.live if condition is None else self._pending.matching(condition)
        if allowed.any():
            near = self._pending.nearest(queries, min(k, int(allowed.sum())), allowed)
            parts.append(Nearest(near.scores, np.where(near.rows < 0, -1, near.rows + self._base)))
            if fields:
                own = self._pending.fetch(np.unique(near.rows[near.rows >= 0]).tolist())
                rows |= {self._base + number: row for number, row in own.items()}
        if not parts:
            return Nearest(np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64)), rows
        return merged(parts, k), rows


def _numbers_of(records: Sequence[dict[str, Any]]) -> list[int]:
    return [int(record["number"]) for record in records]
