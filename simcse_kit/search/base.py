"""What every store of an index offers, and what they do alike: checks, ids, and the errors of both."""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from simcse_kit.errors import SearchIndexError
from simcse_kit.search.checks import (
    as_json,
    check_fingerprint,
    check_finite_vectors,
    check_threshold,
    checked_count,
    checked_ids,
    unit_vectors,
)
from simcse_kit.search.fields import Fields, check_fields, with_rows
from simcse_kit.search.filters import Condition, parse_filter
from simcse_kit.search.rows import Hit, Id, IndexRow
from simcse_kit.search.snapshot import IndexInfo, Snapshot
from simcse_kit.search.structure import TARGET_RECALL
from simcse_kit.search.vectors import Nearest, normalized
from simcse_kit.types import Vectors


class BaseCollection(ABC):
    """N texts with ids, metadata and unit vectors (N, D), wherever they are kept.

    `add`, `update` and `delete` change memory; `save` commits. A row has a number beside its id: the order in which it
    was added. Any number of threads may read while one writes: each call reads what there was when it began.
    """

    def __init__(self, dimension: int, kind: str = "auto", target_recall: float = TARGET_RECALL) -> None:
        if not 0 < target_recall <= 1:
            raise SearchIndexError(f"target_recall is between 0 and 1; got {target_recall}")
        self._snapshot = Snapshot(dimension=dimension, kind=kind, target_recall=target_recall)
        self.queries: Vectors | None = None  # (Q, D), unit vectors to tune by; None: the rows themselves

    @property
    def dimension(self) -> int:
        """D, of its vectors."""
        return self._snapshot.dimension

    @property
    def kind(self) -> str:
        """How it is searched, as asked for."""
        return self._snapshot.kind

    @property
    def target_recall(self) -> float:
        """Of the 10 nearest, the share that a search should find."""
        return self._snapshot.target_recall

    @property
    def model(self) -> dict[str, Any]:
        """What the owner keeps about the model with the rows."""
        return self._snapshot.model

    @model.setter
    def model(self, model: dict[str, Any]) -> None:
        self._snapshot = replace(self._snapshot, model=model)

    @property
    def source(self) -> dict[str, Any] | None:
        """What the owner keeps about how files become rows; None: nothing yet."""
        return self._snapshot.source

    @source.setter
    def source(self, source: dict[str, Any] | None) -> None:
        self._snapshot = replace(self._snapshot, source=source)

    def now(self) -> Self:
        """This index at this instant, to read from several times: what is changed or read in later is not in it."""
        return self

    @abstractmethod
    def __len__(self) -> int: ...

    @property
    def id_type(self) -> type | None:
        """What its ids are, int or str; None before the first."""
        return self._snapshot.id_type

    @property
    def uri(self) -> str | None:
        """Of Milvus, where it is kept there."""
        return None

    @property
    @abstractmethod
    def folder(self) -> Path | None:
        """Where it was opened or saved last: a folder, or a collection's name."""

    def add(
        self,
        texts: Sequence[str],
        vectors: Vectors,
        ids: Sequence[Id] | None = None,
        metadata: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        fingerprint: str | None = None,
    ) -> list[Id]:
        """Add N texts with vectors (N, D), of any length but zero, under new ids (None: integers that go on).

        Returns the ids.

        ``metadata``: a JSON object for each text, or None.
        ``fingerprint``: of the model that gave the vectors; None: not checked.

        Raises:
            IndexChangedError: the index is of another model by now. Nothing is added then.
            SearchIndexError: an id that is taken, no integer or string, or not of the others' type; a wrong shape;
                metadata that is no JSON object, or not of the fields' types. Nothing is added then.
        """
        next_ = self.now()
        check_fingerprint(next_.model, fingerprint)
        unit = unit_vectors(texts, vectors, next_.dimension)
        new = next_._new_ids(len(texts), ids)
        if taken := next_._taken(new):
            raise SearchIndexError(f"id {taken[0]!r} is taken; update changes what is there")
        fields = with_rows(next_.fields, metadata)
        next_._add(texts, unit, new, as_json(metadata, len(texts)))
        self._snapshot = replace(next_._snapshot, fields=fields)
        return new

    def update(
        self,
        texts: Sequence[str],
        vectors: Vectors,
        ids: Sequence[Id],
        metadata: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        fingerprint: str | None = None,
    ) -> None:
        """Put N texts, vectors and metadata in the place of those with these ids; all are as in `add`.

        Raises:
            SearchIndexError: an id that is not there, and what `add` refuses. Nothing is changed then.
        """
        next_ = self.now()
        check_fingerprint(next_.model, fingerprint)
        unit = unit_vectors(texts, vectors, next_.dimension)
        same, objects = next_._new_ids(len(texts), ids), as_json(metadata, len(texts))
        fields = with_rows(next_.fields, metadata)
        numbers = next_._numbers(same)
        next_._remove(numbers)
        next_._add(texts, unit, same, objects)
        self._snapshot = replace(next_._snapshot, fields=fields)  # both at once

    def delete(
        self, ids: Sequence[Id] | None = None, *, filter: Mapping[str, Any] | None = None, missing_ok: bool = False
    ) -> int:
        """Delete the rows with these ids, or those whose metadata meet a filter; returns how many.

        Raises:
            SearchIndexError: an id that is not there, which may be ``missing_ok``, or a filter that cannot be read.
                Nothing is deleted then.
        """
        if (ids is None) == (filter is None):
            raise SearchIndexError("delete takes ids or a filter, one of the two")
        if ids is not None:
            wanted = list(dict.fromkeys(checked_ids(ids)))
            numbers = list(self.found(wanted).values()) if missing_ok else self._numbers(wanted)
        else:
            numbers = self._matching(self.condition_of(filter or {}))
        self._remove(numbers)
        return len(numbers)

    @property
    def _next_id(self) -> int:
        return self._snapshot.next_id

    @property
    def _id_type(self) -> type | None:
        return self._snapshot.id_type

    def _add(self, texts: Sequence[str], unit: Vectors, ids: list[Id], metadata: Sequence[str | None]) -> None:
        if len(texts):
            self._append(unit, ids, texts, metadata)
            next_id = max(self._next_id, 1 + max((i for i in ids if isinstance(i, int)), default=-1))
            self._snapshot = replace(self._snapshot, id_type=type(ids[0]), next_id=next_id)

    def condition_of(self, filter: Mapping[str, Any]) -> Condition:
        """The condition that a filter states; what cannot be read, or compares an unknown field, is an error."""
        condition = parse_filter(filter)
        if len(self):
            check_fields(condition, self._snapshot.fields)
        return condition

    @property
    def fields(self) -> Fields | None:
        """Type of each field of the metadata; None: not known, of an index of an older version."""
        return self._snapshot.fields

    def _new_ids(self, count: int, ids: Sequence[Id] | None) -> list[Id]:
        if ids is None:
            if self._id_type is str:
                raise SearchIndexError("this index has string ids; name the ids of what is added")
            return list(range(self._next_id, self._next_id + count))
        if len(ids) != count:
            raise SearchIndexError(f"{count} texts need {count} ids; got {len(ids)}")
        new = checked_ids(ids)
        kinds = {type(value) for value in new} | ({self._id_type} if self._id_type else set())
        if len(kinds) > 1:
            raise SearchIndexError("ids are all integers or all strings; got both")
        seen: set[Id] = set()
        for value in new:
            if value in seen:
                raise SearchIndexError(f"id {value!r} is taken: it is there twice")
            seen.add(value)
        return new

    def _taken(self, ids: list[Id]) -> list[Id]:
        if self._id_type is int and min((i for i in ids if isinstance(i, int)), default=0) >= self._next_id:
            return []  # all are new
        return list(self.found(ids))

    def _numbers(self, ids: Sequence[Id]) -> list[int]:
        """Numbers of live rows by id; an id that is not there is an error."""
        found = self.found(checked_ids(ids))
        if missing := [id_ for id_ in ids if id_ not in found]:
            more = f" (and {len(missing) - 1} others)" if len(missing) > 1 else ""
            raise SearchIndexError(f"there is no id {missing[0]!r}{more} in this index")
        return [found[id_] for id_ in ids]

    def get(self, ids: Sequence[Id]) -> list[IndexRow]:
        """The rows with these ids; one that is not there is a `SearchIndexError`."""
        now = self.now()
        numbers = now._numbers(ids)
        rows = now.fetch(numbers)
        return [rows[number] for number in numbers]

    def vectors_of(self, ids: Sequence[Id]) -> Vectors:
        """Unit vectors of the rows with these ids, (n, D); one that is not there is a `SearchIndexError`."""
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
        queries = np.array(vectors, dtype=np.float32, order="C", ndmin=2)
        if queries.shape[1] != now.dimension and len(queries):
            raise SearchIndexError(
                f"the index holds vectors of {now.dimension} dimensions; the query has {queries.shape[1]}"
            )
        condition = None if filter is None else now.condition_of(filter)
        if not len(queries):
            return []
        check_finite_vectors(queries, "query")
        return now._hits(normalized(queries), k, threshold, condition)

    def similar(
        self, id: Id, k: int = 5, threshold: float | None = None, filter: Mapping[str, Any] | None = None
    ) -> list[Hit]:
        """The ``k`` texts nearest to the one with this id, without it; as `search`."""
        now = self.now()
        k = checked_count(k)
        found = now.search(now.vectors_of([id]), k + 1, threshold, filter)[0]
        return [hit for hit in found if hit.id != id][:k]

    def sample(self, count: int, seed: int = 0) -> tuple[list[IndexRow], Vectors]:
        """At most ``count`` rows, drawn at random, in the order in which they were added, with unit vectors (n, D)."""
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
        """Ids of this index that are written as text: integers, where its ids are.

        Raises:
            SearchIndexError: no integer, where it has to be one.
        """
        if self._id_type is str:
            return list(texts)
        for text in texts:
            if not text.removeprefix("-").isdecimal() or len(text) > 20:
                raise SearchIndexError(f"this index has integer ids; got {text!r}")
        return [int(text) for text in texts]

    # What a store does

    @abstractmethod
    def _append(self, unit: Vectors, ids: Sequence[Id], texts: Sequence[str], metadata: Sequence[str | None]) -> None:
        """Add n rows to memory, all or none; ``metadata`` is JSON."""

    @abstractmethod
    def _remove(self, numbers: Sequence[int]) -> None:
        """Delete live rows, in memory."""

    @abstractmethod
    def found(self, ids: Sequence[Id]) -> dict[Id, int]:
        """Numbers of live rows by id, of those ids that are there."""

    @abstractmethod
    def _matching(self, condition: Condition) -> list[int]:
        """Numbers of the live rows that meet a condition."""

    @abstractmethod
    def live(self) -> NDArray[np.int64]:
        """Numbers of all rows, ascending."""

    @abstractmethod
    def _take(self, numbers: Sequence[int]) -> Vectors:
        """Unit vectors of n rows, (n, D)."""

    @abstractmethod
    def _hits(self, queries: Vectors, k: int, threshold: float | None, condition: Condition | None) -> list[list[Hit]]:
        """What `search` returns, for unit queries (Q, D), of which there is one at least."""

    @abstractmethod
    def fetch(self, numbers: Sequence[int]) -> dict[int, IndexRow]:
        """Rows by number."""

    @abstractmethod
    def rows(self) -> Iterator[tuple[IndexRow, Vectors]]:
        """Every row with its unit vector (D,), in the order in which they were added."""

    @abstractmethod
    def neighbors(self, k: int, batch: int) -> Iterator[tuple[NDArray[np.int64], Nearest]]:
        """The ``k`` nearest other rows of every row, for about ``batch`` rows at once; both by number."""

    @abstractmethod
    def info(self) -> IndexInfo:
        """What it holds."""

    @abstractmethod
    def refresh(self, *, discard: bool = False) -> bool:
        """Read the last commit where somebody else has made one since; whether it has.

        Unsaved changes prevent it, unless they are to be thrown away (``discard``).

        Raises:
            IndexChangedError: there is none any more, or one of another model or dimension; this one stays as it was.
        """

    @abstractmethod
    def reopened(self) -> BaseCollection:
        """What is in its place now, whatever it is; no code that it alone names is run."""

    def fork(self) -> Self:
        """A writer beside this index, whose changes are its own until `adopt` takes them over."""
        return copy.copy(self)

    def adopt(self, fork: Self) -> None:
        """Be what a fork is; the fork is not used any more."""
        vars(self).update(vars(fork))

    def abandon(self) -> None:  # noqa: B027  # a commit to a folder is there whole or not at all
        """Undo what a save that failed has sent already."""

    @abstractmethod
    def save(self, folder: str | Path | None = None, *, structure: bool = True) -> Path:
        """Commit; ``folder`` (None: as last time) is where: a folder, or a collection's name."""

    @abstractmethod
    def compact(self) -> Path:
        """Commit, and tidy up what is kept."""

    @abstractmethod
    def verify(self) -> None:
        """Read all of the last commit; what differs from what was written is a `SearchIndexError`."""
