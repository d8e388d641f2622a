"""What an index takes: ids, texts and metadata that a file can hold, vectors of one length."""

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

_NUL = re.compile(r"(?<!\\)(?:\\\\)*\\u0000")  # as JSON has it
_LARGEST = 2**63  # an integer that SQLite stores is less


def checked_ids(ids: Sequence[Id]) -> list[Id]:
    """The ids as plain strings and integers; what is neither, or cannot be stored, is an error."""
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
    """A number of rows as a plain integer, of numpy's too; what is no integer, or below 1, is an error."""
    if isinstance(count, bool) or not isinstance(count, Integral) or count < 1:
        raise SearchIndexError(f"{what} must be at least 1, an integer; got {count!r}")
    return int(count)


def plain_metadata(metadata: Any) -> list[Any] | None:
    """Metadata as JSON has it: rows of a table as objects, numpy's numbers as Python's, dates and times as ISO 8601.

    Raises:
        SearchIndexError: a number that is not finite, by its place and key.
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
                f"metadata number {number}: {key} is {value}, which JSON does not have; leave the key out where there "
                "is no value"
            )
    return {key: json_value(value) for key, value in row.items()}


def as_json(metadata: Sequence[Mapping[str, Any] | None] | None, count: int) -> list[str | None]:
    """The metadata of ``count`` texts as JSON."""
    if metadata is None:
        return [None] * count
    if len(metadata) != count:
        raise SearchIndexError(f"{count} texts need {count} metadata objects; got {len(metadata)}")
    texts: list[str | None] = []
    for number, value in enumerate(metadata):
        if value is not None and not isinstance(value, Mapping):
            raise SearchIndexError(f"metadata number {number} is a JSON object or None; got {value!r:.80}")
        try:
            text = None if value is None else bounded_json(value)
        except (TypeError, ValueError) as error:
            raise SearchIndexError(f"metadata number {number} cannot be stored: {error}") from error
        check_storable(text or "", f"metadata number {number}")
        if text is not None and _NUL.search(text):
            raise SearchIndexError(f"metadata number {number} has a NUL character, at which filters end; remove it")
        texts.append(text)
    return texts


def check_fingerprint(made_with: Mapping[str, Any], fingerprint: str | None) -> None:
    """An `IndexChangedError` where rows are of another model than the one of this fingerprint; None: any."""
    own = made_with.get("fingerprint")
    if fingerprint is not None and fingerprint != own:
        raise IndexChangedError(
            f"the vectors are of another model (fingerprint {fingerprint[:12]}) than the index (fingerprint "
            f"{str(own)[:12]}): it was made again since it was opened, or the model has changed; open it again"
        )


def check_same_model(before: Snapshot, model: Mapping[str, Any], dimension: int, where: object) -> None:
    """An `IndexChangedError` where a later commit is of another model: its vectors mean something else."""
    if (model.get("fingerprint"), dimension) != (before.model.get("fingerprint"), before.dimension):
        raise IndexChangedError(
            f"{where} was made again by somebody else since it was opened, with another model "
            f"({model.get('name', 'no name')}, {dimension} dimensions); open it again"
        )


def check_storable(text: str, what: str) -> None:
    """An error where a text, named ``what`` there, is not Unicode."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise SearchIndexError(
            f"{what} has half of a surrogate pair at character {error.start}, which no file can store; replace it"
        ) from error


def check_threshold(threshold: float | None) -> None:
    """An error where a threshold is no cosine."""
    if threshold is not None and not -1 <= threshold <= 1:
        raise SearchIndexError(f"threshold is a cosine, from -1 to 1; got {threshold}")


def check_finite_vectors(vectors: Vectors, what: str) -> None:
    """An error for a vector of (N, D) with NaN or infinite numbers; ``what`` it is of."""
    finite = np.isfinite(vectors).all(axis=1)
    if not finite.all():
        raise SearchIndexError(f"the vector of {what} number {int(np.argmin(finite))} is not finite")


def unit_queries(vectors: Vectors, dimension: int) -> Vectors:
    """A copy of query vectors (Q, D), or (D,), at length 1; a zero vector stays."""
    queries = np.array(vectors, dtype=np.float32, order="C", ndmin=2)
    if queries.shape[1] != dimension and len(queries):
        raise SearchIndexError(f"the index holds vectors of {dimension} dimensions; the query has {queries.shape[1]}")
    check_finite_vectors(queries, "query")
    return normalized(queries) if len(queries) else queries


def unit_vectors(texts: Sequence[str], vectors: Vectors, dimension: int) -> Vectors:
    """A copy of vectors (N, D) at length 1, for N texts that can be stored; a zero vector stays."""
    unit = np.array(vectors, dtype=np.float32, order="C", ndmin=2)
    if unit.shape != (len(texts), dimension) and len(texts):
        raise SearchIndexError(f"{len(texts)} texts need vectors of ({len(texts)}, {dimension}); got {unit.shape}")
    check_finite_vectors(unit, "text")
    for number, text in enumerate(texts):
        check_storable(text, f"text number {number}")
    return normalized(unit)
