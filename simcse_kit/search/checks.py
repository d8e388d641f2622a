"""Checks of what goes into an index: ids, texts and metadata that can be stored, vectors of one length."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any

import numpy as np

from simcse_kit.data.bounds import bounded_json
from simcse_kit.data.frames import columns_of_table, json_value, records_of_table
from simcse_kit.errors import IndexChangedError, SearchIndexError
from simcse_kit.search.rows import Id
from simcse_kit.search.snapshot import Snapshot
from simcse_kit.search.vectors import normalized
from simcse_kit.types import Vectors

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # as JSON text
_LARGEST = 2**63  # SQLite stores integers below this


def checked_ids(ids: Sequence[Id]) -> list[Id]:
    """Ids as plain strings and integers; raises an error for other types and for ids that cannot be stored."""
    checked: list[Id] = []
    for value in ids:
        if isinstance(value, bool) or not isinstance(value, str | Integral):
            raise SearchIndexError(f"an id is an integer or a string; got {value!r}")
        if isinstance(value, str):
            check_storable(value, f"the id {value!r}")
            checked.append(value)
        elif not -_LARGEST <= int(value) < _LARGEST - 1:
            raise SearchIndexError(f"an integer id has at most 64 bits; got {value}")
        else:
            checked.append(int(value))
    return checked


def checked_count(count: object, what: str = "k") -> int:
    """A row count as a plain integer (numpy's too); raises an error if it is not an integer of at least 1."""
    if isinstance(count, bool) or not isinstance(count, Integral) or count < 1:
        raise SearchIndexError(f"{what} must be an integer of at least 1; got {count!r}")
    return int(count)


def plain_metadata(metadata: Any) -> list[Any] | None:
    """Metadata as JSON values: table rows become objects, numpy numbers Python's, dates and times ISO 8601.

    Raises:
        SearchIndexError: a number that is not finite; the text gives its position and key.
    """
    if metadata is None:
        return None
    if columns_of_table(metadata) is not None:
        return list(records_of_table(metadata))
    return [_plain(number, row) if isinstance(row, Mapping) else row for number, row in enumerate(metadata)]


def _plain(number: int, row: Mapping[str, Any]) -> dict[str, Any]:
    for key, value in row.items():
        if isinstance(value, float) and not math.isfinite(value):
            raise SearchIndexError(
                f"metadata number {number}: {key} is {value}, which JSON does not support; leave out the key if "
                "there is no value"
            )
    return {key: json_value(value) for key, value in row.items()}


def as_json(metadata: Sequence[Mapping[str, Any] | None] | None, count: int) -> list[str | None]:
    """The metadata of ``count`` texts as JSON text."""
    if metadata is None:
        return [None] * count
    if len(metadata) != count:
        raise SearchIndexError(f"{count} texts need {count} metadata objects; got {len(metadata)}")
    texts: list[str | None] = []
    for number, value in enumerate(metadata):
        if value is not None and not isinstance(value, Mapping):
            raise SearchIndexError(f"metadata number {number} must be a JSON object or None; got {value!r:.80}")
        try:
            text = None if value is None else bounded_json(value)
        except (TypeError, ValueError) as error:
            raise SearchIndexError(f"metadata number {number} cannot be stored: {error}") from error
        check_storable(text or "", f"metadata number {number}")
        if text is not None and _NUL.search(text):
            raise SearchIndexError(
                f"metadata number {number} contains a NUL character, which would cut off filters; remove it"
            )
        texts.append(text)
    return texts


def check_fingerprint(made_with: Mapping[str, Any], fingerprint: str | None) -> None:
    """Raise an `IndexChangedError` if rows are from another model than the one with this fingerprint (None: any)."""
    own = made_with.get("fingerprint")
    if fingerprint is not None and fingerprint != own:
        raise IndexChangedError(
            f"the vectors are from another model (fingerprint {fingerprint[:12]}) than the index (fingerprint "
            f"{str(own)[:12]}): the index was rebuilt since it was opened, or the model has changed; open the "
            "index again"
        )


def check_same_model(before: Snapshot, model: Mapping[str, Any], dimension: int, where: object) -> None:
    """Raise an `IndexChangedError` if a later commit is from another model, whose vectors are not comparable."""
    if (model.get("fingerprint"), dimension) != (before.model.get("fingerprint"), before.dimension):
        raise IndexChangedError(
            f"another process rebuilt {where} since it was opened, with another model "
            f"({model.get('name', 'no name')}, {dimension} dimensions); open it again"
        )


def check_storable(text: str, what: str) -> None:
    """Raise an error if a text, called ``what`` in the error, is not valid Unicode."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SearchIndexError(
            f"{what} has half of a surrogate pair at character {error.start}, which cannot be stored; replace it"
        ) from error


def check_threshold(threshold: float | None) -> None:
    """Raise an error if a threshold is not a cosine."""
    if threshold is not None and not -1 <= threshold <= 1:
        raise SearchIndexError(f"threshold must be a cosine, from -1 to 1; got {threshold}")


def check_finite_vectors(vectors: Vectors, what: str) -> None:
    """Raise an error for a vector of (N, D) with NaN or infinite numbers; ``what`` names the rows."""
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise SearchIndexError(f"the vector of {what} number {int(np.argmin(finite))} is not finite")


def unit_queries(vectors: Vectors, dimension: int) -> Vectors:
    """A copy of query vectors (Q, D) or (D,), scaled to length 1; a zero vector stays zero."""
    queries = np.array(vectors, dtype=np.float32, order="C", ndmin=2)
    if queries.shape[1] != dimension and len(queries):
        raise SearchIndexError(f"the index has vectors of {dimension} dimensions, the query has {queries.shape[1]}")
    check_finite_vectors(queries, "query")
    return normalized(queries) if len(queries) else queries


def unit_vectors(texts: Sequence[str], vectors: Vectors, dimension: int) -> Vectors:
    """A copy of vectors (N, D), scaled to length 1, after checks of the N texts; a zero vector stays zero."""
    unit = np.array(vectors, dtype=np.float32, order="C", ndmin=2)
    if unit.shape != (len(texts), dimension) and len(texts):
        raise SearchIndexError(f"{len(texts)} texts need vectors of ({len(texts)}, {dimension}); got {unit.shape}")
    check_finite_vectors(unit, "text")
    for number, text in enumerate(texts):
        check_storable(text, f"text number {number}")
    return normalized(unit)
