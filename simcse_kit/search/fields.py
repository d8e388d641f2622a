"""Metadata fields of an index and their types; the first value decides, and the type stays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from simcse_kit.data.kinds import breaks, joined, kind_of
from simcse_kit.errors import SearchIndexError
from simcse_kit.search.filters import BooleanGroup, Compare, Condition, Exists

_PLAIN = ("integer", "float", "boolean", "text")
Fields = Mapping[str, str]
"""Type of each field: integer, float, boolean, text, object, null (only nulls so far) or mixed."""


def with_rows(fields: Fields | None, metadata: Sequence[Mapping[str, Any] | None] | None) -> dict[str, str] | None:
    """The fields of an index after adding rows; None: unknown, as in an index of an older version.

    Raises:
        SearchIndexError: a value that does not match the type of its field in the index, with its position.
    """
    if fields is None:
        return None
    found: dict[str, str] = {}
    for number, row in enumerate(metadata or ()):
        for key, value in row.items() if isinstance(row, Mapping) else ():  # `as_json` raises an error for other values
            kind = kind_of(value)
            if found.get(key) != kind:
                known = fields.get(key, "null")
                if breaks(known, kind):
                    raise SearchIndexError(
                        f"metadata number {number}: {key} has type {known} in this index; got {value!r:.80}, "
                        f"which is {kind}. Change the value, or use another field name"
                    )
                found[key] = joined(found.get(key, "null"), kind)
    return {**fields, **{key: joined(fields.get(key, "null"), kind) for key, kind in found.items()}}


def check_fields(condition: Condition, fields: Fields | None) -> None:
    """Raise a `SearchIndexError` if a condition compares a field that no row has, or uses another type.

    $exists may test any field.
    """
    if fields is None or isinstance(condition, Exists):
        return
    if isinstance(condition, Compare):
        check_known_field(condition.path[0], fields, "the filter compares", ". Only $exists accepts any field")
        known, kind = fields[condition.path[0]], kind_of(condition.value)
        if len(condition.path) == 1 and known in _PLAIN and breaks(known, kind):
            raise SearchIndexError(
                f"the filter compares {condition.path[0]!r}, which is {known} in this index, with "
                f"{condition.value!r:.80}, which is {kind}: no sentence can match"
            )
        return
    for part in condition.parts if isinstance(condition, BooleanGroup) else (condition.part,):
        check_fields(part, fields)


def check_known_field(name: str, fields: Fields | None, who: str, hint: str = "") -> None:
    """Raise a `SearchIndexError` for a field that no row has; ``who`` starts the error: "the filter compares"."""
    if fields is not None and name not in fields:
        there = ", ".join(f"{known} ({kind})" for known, kind in fields.items()) or "none"
        raise SearchIndexError(
            f"{who} {name!r}, but no sentence of this index has this field; its fields are: {there}{hint}"
        )


def value_at(metadata: Mapping[str, Any] | None, field: str) -> Any:
    """The value of a field, or None; a dot selects inside an object, as in a filter.

    >>> value_at({"tags": {"kind": "bug"}}, "tags.kind")
    'bug'
    """
    value: Any = metadata
    for key in field.split("."):
        value = value.get(key) if isinstance(value, dict) else None
    return value
