"""Common part of all index stores: checks, ids and errors."""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from simcse_kit.errors import SearchIndexError
from simcse_kit.search.checks import (
    as_json,
    check_fingerprint,
    checked_ids,
    plain_metadata,
    unit_vectors,
)
from simcse_kit.search.fields import with_rows
from simcse_kit.search.filters import Condition
from simcse_kit.search.reading import ReadableCollection
from simcse_kit.search.rows import Id
from simcse_kit.types import Vectors


class BaseCollection(ReadableCollection):
    """N texts with ids, metadata and unit vectors (N, D), in any store.

    `add`, `update` and `delete` change memory; `save` commits. A row has an id and a number, its position in the order
    of adding. Threads may read while one thread writes: each call reads the state at its start.
    """

    @property
    def source(self) -> dict[str, Any] | None:
        """The owner's record of how files become rows; None: nothing recorded."""
        return self._snapshot.source

    @source.setter
    def source(self, source: dict[str, Any] | None) -> None:
        self._snapshot = replace(self._snapshot, source=source)

    def add(
        self,
        texts: Sequence[str],
        vectors: Vectors,
        ids: Sequence[Id] | None = None,
        metadata: Sequence[Mapping[str, Any] | None] | None = None,
        *,
        fingerprint: str | None = None,
    ) -> list[Id]:
        """Add N texts with non-zero vectors (N, D) under new ids (None: the next integers).

        Returns the ids.

        ``metadata``: a JSON object or None for each text, or a table with one row per text. ``fingerprint``: of the
        model that made the vectors; None: not checked.

        Raises:
            IndexChangedError: the index now belongs to another model. Nothing is added.
            SearchIndexError: an id that exists, is not an integer or string, or has another type than the others; a
                wrong shape; metadata that are not JSON objects, or do not match the fields' types. Nothing is added.
        """
        next_ = self.now()
        check_fingerprint(next_.model, fingerprint)
        unit, metadata = unit_vectors(texts, vectors, next_.dimension), plain_metadata(metadata)
        new = next_._new_ids(len(texts), ids)
        if taken := next_._taken(new):
            raise SearchIndexError(f"id {taken[0]!r} already exists; use update to replace its row")
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
        """Replace the texts, vectors and metadata of these ids; arguments as in `add`.

        Raises:
            SearchIndexError: a missing id, or errors of `add`. Nothing changes.
        """
        next_ = self.now()
        check_fingerprint(next_.model, fingerprint)
        unit, metadata = unit_vectors(texts, vectors, next_.dimension), plain_metadata(metadata)
        same, objects = next_._new_ids(len(texts), ids), as_json(metadata, len(texts))
        fields = with_rows(next_.fields, metadata)
        numbers = next_._numbers(same)
        next_._remove(numbers)
        next_._add(texts, unit, same, objects)
        self._snapshot = replace(next_._snapshot, fields=fields)  # in one step

    def delete(
        self, ids: Sequence[Id] | None = None, *, filter: Mapping[str, Any] | None = None, missing_ok: bool = False
    ) -> int:
        """Delete the rows with these ids, or those that match a filter; returns their number.

        Raises:
            SearchIndexError: a missing id, unless ``missing_ok``, or an invalid filter. Nothing is deleted.
        """
        if (ids is None) == (filter is None):
            raise SearchIndexError("delete takes either ids or a filter")
        if ids is not None:
            wanted = list(dict.fromkeys(checked_ids(ids)))
            numbers = list(self.found(wanted).values()) if missing_ok else self._numbers(wanted)
        else:
            numbers = self._matching(self.condition_of(filter or {}))
        self._remove(numbers)
        return len(numbers)

    def _add(self, texts: Sequence[str], unit: Vectors, ids: list[Id], metadata: Sequence[str | None]) -> None:
        if len(texts):
            self._append(unit, ids, texts, metadata)
            next_id = max(self._next_id, 1 + max((i for i in ids if isinstance(i, int)), default=-1))
            self._snapshot = replace(self._snapshot, id_type=type(ids[0]), next_id=next_id)

    def _new_ids(self, count: int, ids: Sequence[Id] | None) -> list[Id]:
        if ids is None:
            if self._id_type is str:
                raise SearchIndexError("this index has string ids; give ids for new rows")
            return list(range(self._next_id, self._next_id + count))
        if len(ids) != count:
            raise SearchIndexError(f"{count} texts need {count} ids; got {len(ids)}")
        new = checked_ids(ids)
        kinds = {type(value) for value in new} | ({self._id_type} if self._id_type else set())
        if len(kinds) > 1:
            raise SearchIndexError("ids must be all integers or all strings; got both")
        seen: set[Id] = set()
        for value in new:
            if value in seen:
                raise SearchIndexError(f"id {value!r} occurs twice")
            seen.add(value)
        return new

    def _taken(self, ids: list[Id]) -> list[Id]:
        if self._id_type is int and min((i for i in ids if isinstance(i, int)), default=0) >= self._next_id:
            return []  # all are new
        return list(self.found(ids))

    # Implemented by each store

    @abstractmethod
    def _append(self, unit: Vectors, ids: Sequence[Id], texts: Sequence[str], metadata: Sequence[str | None]) -> None:
        """Add n rows to memory, all or none; ``metadata`` is JSON text."""

    @abstractmethod
    def _remove(self, numbers: Sequence[int]) -> None:
        """Delete live rows, in memory."""

    @abstractmethod
    def _matching(self, condition: Condition) -> list[int]:
        """Numbers of the live rows that match a condition."""

    @abstractmethod
    def refresh(self, *, discard: bool = False) -> bool:
        """Read the last commit if another process has made one; returns whether it has.

        Raises an error if there are unsaved changes, unless ``discard`` drops them.

        Raises:
            IndexChangedError: the index was removed, or now has another model or dimension; this object stays
                unchanged.
        """

    @abstractmethod
    def reopened(self) -> BaseCollection:
        """The index now at its address, of any kind. Runs no code that only the index names."""

    def fork(self) -> Self:
        """A writer with its own copy of the state; `adopt` takes its changes over."""
        return copy.copy(self)

    def adopt(self, fork: Self) -> None:
        """Take over the state of a fork, which must not be used afterwards."""
        vars(self).update(vars(fork))

    def abandon(self) -> None:  # a commit to a folder is atomic
        """Undo what a failed save has already sent."""

    @abstractmethod
    def save(self, folder: str | Path | None = None, *, structure: bool = True) -> Path:
        """Commit to ``folder``, a folder or a collection's name (None: the last one)."""

    @abstractmethod
    def compact(self, *, hybrid: bool | None = None) -> Path:
        """Commit and compact. ``hybrid``: add or remove keywords; None: no change."""

    @abstractmethod
    def verify(self) -> None:
        """Read all of the last commit. Raises a `SearchIndexError` for any difference from what was written."""
