"""Metadata fields with few values: filters, and colours of the map."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from simcse_kit.data.kinds import kind_of
from simcse_kit.errors import SearchIndexError
from simcse_kit.search import IndexRow
from simcse_kit.search.fields import Fields, check_known_field, value_at

_KINDS = ("text", "boolean", "integer")  # maximum number of fields chosen automatically
_FIELDS = 4  # maximum number of values of such a field
_VALUES = 12  # longest value of such a field, in characters
_NAMED_VALUES = 30  # values shown of a field that the user named: the most frequent
_CHARACTERS = 60  # fewest rows per value, on average, of such a field


@dataclass(frozen=True)
class ValueCount:
    """A value and its number of rows."""

    value: bool | int | float | str
    count: int


@dataclass(frozen=True)
class Facet:
    """A field with its values, most frequent first."""

    field: str
    values: list[ValueCount]
    others: int  # rows with a value that is not listed
    without: int  # rows without the field

    def codes(self, rows: Sequence[IndexRow]) -> list[int | None]:
        """For each row the position of its value in `values`, from 0; None if it is not listed or missing."""
        places = {_key(one.value): place for place, one in enumerate(self.values)}
        return [places.get(_key(value_at(row.metadata, self.field))) for row in rows]


@dataclass(frozen=True)
class Facets:
    """Fields, counted on some rows of an index."""

    fields: list[Facet]
    counted: int  # rows counted
    count: int  # rows of the index


def facets_of(rows: Sequence[IndexRow], count: int, named: Sequence[str] | None) -> Facets:
    """The facets of ``rows``, a sample of ``count`` rows. ``named``: use these fields, not those with few values."""
    fields = dict.fromkeys(key for row in rows for key in row.metadata or ()) if named is None else named
    counted = [_counted(rows, field) for field in fields if named is not None or _can_be_filtered(field)]
    chosen = counted if named is not None else [facet for facet in counted if _has_few_values(facet)][:_FIELDS]
    return Facets([_cut(facet) for facet in chosen], len(rows), count)


def check_facets(named: Sequence[str], fields: Fields | None, index: str) -> None:
    """Raise a `SearchIndexError` for a field that no row of the index has, or that filters cannot use."""
    for field in named:
        check_known_field(field.split(".")[0], fields, f"the facet of {index} is")
        if '"' in field or "\\" in field or field.startswith("$"):
            raise SearchIndexError(f"filters cannot use the field {field!r}; rename it and build the index again")


def _can_be_filtered(field: str) -> bool:
    """A filter reads a dot as a step into an object."""
    return not field.startswith("$") and not any(mark in field for mark in '."\\')


def _key(value: object) -> tuple[str, object] | None:
    """Keeps True and 1 apart; lists and objects are no filter values."""
    return (kind_of(value), value) if isinstance(value, bool | int | float | str) else None


def _counted(rows: Sequence[IndexRow], field: str) -> Facet:
    found: Counter[tuple[str, object]] = Counter()
    without = 0
    for row in rows:
        value = value_at(row.metadata, field)
        without += value is None
        if (key := _key(value)) is not None:
            found[key] += 1
    order = sorted(found.items(), key=lambda one: (-one[1], one[0][0], one[0][1]))
    values = [ValueCount(value, times) for (_, value), times in order]  # type: ignore[arg-type]
    return Facet(field, values, len(rows) - without - found.total(), without)


def _has_few_values(facet: Facet) -> bool:
    """Whether a field makes a useful filter: plain values of one type, few of them, each repeated on average."""
    values = [one.value for one in facet.values]
    kinds = {kind_of(value) for value in values}
    return (
        not facet.others
        and len(kinds) == 1
        and kinds <= set(_KINDS)
        and 2 <= len(values) <= min(_VALUES, sum(one.count for one in facet.values) / 2)
        and all(0 < len(str(value)) <= _CHARACTERS for value in values)
    )


def _cut(facet: Facet) -> Facet:
    rest = facet.values[_NAMED_VALUES:]
    return replace(facet, values=facet.values[:_NAMED_VALUES], others=facet.others + sum(one.count for one in rest))
