"""What every store of an index offers, and what they do alike: checks, ids, and the errors of both."""

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
    """N texts with ids, metadata and unit vectors (N, D), wherever they are kept.

    `add`, `update` and `delete` change memory; `save` commits. A row has a number beside its id: the order in which it
    was added. Any number of threads may read while one writes: each call reads what there was when it began.
    """

    @property
    def source(self) -> dict[str, Any] | None:
        """What the owner keeps about how files become rows; None: nothing yet."""
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
        """Add N texts with vectors (N, D), of any length but zero, under new ids (None: integers that go on).

        Returns the ids.

        ``metadata``: a JSON object for each text, or None; or a table with a row for each.
        ``fingerprint``: of the model that gave the vectors; None: not checked.

        Raises:
            IndexChangedError: the index is of another model by now. Nothing is added then.
            SearchIndexError: an id that is taken, no integer or string, or not of the others' type; a wrong shape;
                metadata that is no JSON object, or not of the fields' types. Nothing is added then.
        """
        next_ = self.now()
        check_fingerprint(next_.model, fingerprint)
        unit, metadata = unit_vectors(texts, vectors, next_.dimension), plain_metadata(metadata)
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
        unit, metadata = unit_vectors(texts, vectors, next_.dimension), plain_metadata(metadata)
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

    def _add(self, texts: Sequence[str], unit: Vectors, ids: list[Id], metadata: Sequence[str | None]) -> None:
        if len(texts):
            self._append(unit, ids, texts, metadata)
            next_id = max(self._next_id, 1 + max((i for i in ids if isinstance(i, int)), default=-1))
            self._snapshot = replace(self._snapshot, id_type=type(ids[0]), next_id=next_id)

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

    # What a store does

    @abstractmethod
    def _append(self, unit: Vectors, ids: Sequence[Id], texts: Sequence[str], metadata: Sequence[str | None]) -> None:
        """Add n rows to memory, all or none; ``metadata`` is JSON."""

    @abstractmethod
    def _remove(self, numbers: Sequence[int]) -> None:
        """Delete live rows, in memory."""

    @abstractmethod
    def _matching(self, condition: Condition) -> list[int]:
        """Numbers of the live rows that meet a condition."""

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

    def abandon(self) -> None:  # a commit to a folder is there whole or not at all
        """Undo what a save that failed has sent already."""

    @abstractmethod
    def save(self, folder: str | Path | None = None, *, structure: bool = True) -> Path:
        """Commit; ``folder`` (None: as last time) is where: a folder, or a collection's name."""

    @abstractmethod
    def compact(self, *, hybrid: bool | None = None) -> Path:
        """Commit, and tidy up what is kept; ``hybrid``: with keywords from now on, or without; None: as it is."""

    @abstractmethod
    def verify(self) -> None:
        """Read all of the last commit; what differs from what was written is a `SearchIndexError`."""
