"""Read access to the index, the same for every store."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from simcse_kit.errors import SearchIndexError
from simcse_kit.search.checks import (
    check_fingerprint,
    check_threshold,
    checked_count,
    checked_ids,
    unit_queries,
)
from simcse_kit.search.fields import Fields, check_fields, check_known_field
from simcse_kit.search.filters import Condition, parse_filter
from simcse_kit.search.hybrid import WordSearch, keyword_entry
from simcse_kit.search.rows import Hit, Id, IndexRow
from simcse_kit.search.snapshot import IndexInfo, Snapshot
from simcse_kit.search.store import KeywordEntry
from simcse_kit.search.structure import TARGET_RECALL
from simcse_kit.search.vectors import Nearest
from simcse_kit.types import Vectors


class ReadableCollection(WordSearch, ABC):
    """N texts with ids, metadata and unit vectors (N, D): search and read access.

    A row has an id and a number, its position in the order of adding. Threads may read while one thread writes: each
    call reads the state at its start.
    """

    def __init__(
        self, dimension: int, kind: str = "auto", target_recall: float = TARGET_RECALL, *, hybrid: bool = False
    ) -> None:
        if not 0 < target_recall <= 1:
            raise SearchIndexError(f"target_recall must be between 0 and 1; got {target_recall}")
        self._snapshot = Snapshot(
            dimension=dimension, kind=kind, target_recall=target_recall, keywords=keyword_entry(hybrid)
        )
        self.queries: Vectors | None = None  # (Q, D), unit vectors for tuning; None: use rows

    @property
    def dimension(self) -> int:
        """Dimension D of its vectors."""
        return self._snapshot.dimension

    @property
    def kind(self) -> str:
        """The requested kind."""
        return self._snapshot.kind

    @property
    def target_recall(self) -> float:
        """Share of the 10 nearest that a search should find."""
        return self._snapshot.target_recall

    @property
    def model(self) -> dict[str, Any]:
        """The owner's record of the model."""
        return self._snapshot.model

    @model.setter
    def model(self, model: dict[str, Any]) -> None:
        self._snapshot = replace(self._snapshot, model=model)

    @property
    def keywords(self) -> KeywordEntry | None:
        """See `WordSearch.keywords`."""
        return self._snapshot.keywords

    def now(self) -> Self:
        """The index at this instant, for several reads; later changes are not visible in it."""
        return self

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    def id_type(self) -> type | None:
        """Type of its ids, int or str; None while it is empty."""
        return self._snapshot.id_type

    @property
    def uri(self) -> str | None:
        """Address of the Milvus, if the index is in one."""
        return None

    @property
    @abstractmethod
    def folder(self) -> Path | None:
        """Address of the last open or save: a folder, or a collection's name."""

    def condition_of(self, filter: Mapping[str, Any]) -> Condition:
        """Parse a filter. Raises an error if it is invalid or compares an unknown field."""
        condition = parse_filter(filter)
        if len(self):
            check_fields(condition, self._snapshot.fields)
        return condition

    @property
    def most_hits(self) -> int | None:
        """Most hits of one query; None: all rows."""
        return None

    def check_field(self, field: str, who: str) -> None:
        """A `SearchIndexError` for a field that no row has; ``who`` names it, a dot goes into an object."""
        if len(self):
            check_known_field(field.split(".")[0], self._snapshot.fields, who)

    @property
    def fields(self) -> Fields | None:
        """Types of the metadata fields; None: unknown, as in an index of an older version."""
        return self._snapshot.fields

    @property
    def _next_id(self) -> int:
        return self._snapshot.next_id

    @property
    def _id_type(self) -> type | None:
        return self._snapshot.id_type

    def _numbers(self, ids: Sequence[Id]) -> list[int]:
        """Numbers of live rows by id; raises an error for a missing id."""
        found = self.found(checked_ids(ids))
        if missing := [id_ for id_ in ids if id_ not in found]:
            more = f" (and {len(missing) - 1} others)" if len(missing) > 1 else ""
            raise SearchIndexError(f"this index has no id {missing[0]!r}{more}")
        return [found[id_] for id_ in ids]

    def get(self, ids: Sequence[Id]) -> list[IndexRow]:
        """The rows with these ids. Raises a `SearchIndexError` for a missing id."""
        now = self.now()
        numbers = now._numbers(ids)
        rows = now.fetch(numbers)
        return [rows[number] for number in numbers]

    def vectors_of(self, ids: Sequence[Id]) -> Vectors:
        """Unit vectors of the rows with these ids, (n, D). Raises a `SearchIndexError` for a missing id."""
        now = self.now()
        return now._take(now._numbers(ids))

    def vectors_at(self, numbers: Sequence[int]) -> Vectors:
        """Unit vectors of rows by number, as `neighbors` gives them, (n, D)."""
        return self._take(numbers)

    def search(
        self,
        vectors: Vectors,
        k: int = 5,
        threshold: float | None = None,
        filter: Mapping[str, Any] | None = None,
        *,
        fingerprint: str | None = None,
    ) -> list[list[Hit]]:
        """The ``k`` nearest texts of each query vector (Q, D), best first, with a cosine of at least ``threshold``.

        ``filter``: a filter on the metadata (`filters`). ``fingerprint``: as in `add`.
        """
        k = k if type(k) is int and k > 0 else checked_count(k)
        check_threshold(threshold)
        now = self.now()
        if fingerprint not in (None, now.model.get("fingerprint")):
            check_fingerprint(now.model, fingerprint)
        queries = unit_queries(vectors, now.dimension)
        condition = None if filter is None else now.condition_of(filter)
        return now._hits(queries, k, threshold, condition) if len(queries) else []

    def similar(
        self, id: Id, k: int = 5, threshold: float | None = None, filter: Mapping[str, Any] | None = None
    ) -> list[Hit]:
        """The ``k`` texts nearest to the text with this id, without it; as in `search`."""
        now = self.now()
        k = checked_count(k)
        found = now.search(now.vectors_of([id]), k + 1, threshold, filter)[0]
        return [hit for hit in found if hit.id != id][:k]

    def sample(self, count: int, seed: int = 0) -> tuple[list[IndexRow], Vectors]:
        """At most ``count`` random rows, in the order of adding, with unit vectors (n, D)."""
        now = self.now()
        numbers = now.live()
        if len(numbers) > count:
            numbers = np.sort(np.random.default_rng(seed).choice(numbers, count, replace=False))
        rows = now.fetch(numbers.tolist())
        return [rows[number] for number in numbers.tolist()], now._take(numbers.tolist())

    def unit_vectors(self) -> tuple[NDArray[np.int64], Vectors]:
        """(numbers, vectors) of all rows, (N,) and (N, D), in memory."""
        now = self.now()
        numbers = now.live()
        return numbers, now._take(numbers.tolist())

    def as_ids(self, texts: Sequence[str]) -> list[Id]:
        """Parse ids that are given as text: as integers, if the index has integer ids.

        Raises:
            SearchIndexError: not an integer, in an index with integer ids.
        """
        if self._id_type is str:
            return list(texts)
        for text in texts:
            if not text.removeprefix("-").isdecimal() or len(text) > 20:
                raise SearchIndexError(f"this index has integer ids; got {text!r}")
        return [int(text) for text in texts]

    @abstractmethod
    def found(self, ids: Sequence[Id]) -> dict[Id, int]:
        """Numbers of live rows by id, for those ids that exist."""

    @abstractmethod
    def live(self) -> NDArray[np.int64]:
        """Numbers of all rows, ascending."""

    @abstractmethod
    def _take(self, numbers: Sequence[int]) -> Vectors:
        """Unit vectors of n rows, (n, D)."""

    @abstractmethod
    def _hits(self, queries: Vectors, k: int, threshold: float | None, condition: Condition | None) -> list[list[Hit]]:
        """Result of `search` for unit queries (Q, D); there is at least one."""

    @abstractmethod
    def fetch(self, numbers: Sequence[int]) -> dict[int, IndexRow]:
        """Rows by number."""

    @abstractmethod
    def rows(self) -> Iterator[tuple[IndexRow, Vectors]]:
        """Every row with its unit vector (D,), in the order of adding."""

    @abstractmethod
    def neighbors(self, k: int, batch: int) -> Iterator[tuple[NDArray[np.int64], Nearest]]:
        """The ``k`` nearest other rows of every row, about ``batch`` rows at a time; both by number."""

    @abstractmethod
    def info(self) -> IndexInfo:
        """Summary of the index."""
