"""Fields of the metadata with few values: to filter by, and to colour the map by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from simcse_kit.data.kinds import kind_of
from simcse_kit.errors import SearchIndexError
from simcse_kit.search import IndexRow
from simcse_kit.search.fields import Fields, check_known_field, value_at

_KINDS = ("text", "boolean", "integer")  # of fields that are chosen here
_FIELDS = 4  # that are chosen
_VALUES = 12  # of a field that is chosen
_NAMED_VALUES = 30  # that are shown of a field that the user named: the most frequent
_CHARACTERS = 60  # of a value of a field that is chosen


@dataclass(frozen=True)
class ValueCount:
    """How many rows have a value."""

    value: bool | int | float | str
    count: int


@dataclass(frozen=True)
class Facet:
    """A field with its values, the most frequent first."""

    field: str
    values: list[ValueCount]
    others: int  # rows with a value that is not listed
    without: int  # rows without the field

    def codes(self, rows: Sequence[IndexRow]) -> list[int | None]:
        """The place of each row's value among `values`, from 0; None for another value, or none."""
        places = {_key(one.value): place for place, one in enumerate(self.values)}
        return [places.get(_key(value_at(row.metadata, self.field))) for row in rows]


@dataclass(frozen=True)
class Facets:
    """The fields, counted on some rows of an index."""

    fields: list[Facet]
    counted: int  # rows
    count: int  # rows of the index


def facets_of(rows: Sequence[IndexRow], count: int, named: Sequence[str] | None) -> Facets:
    """The facets of ``rows``, which stand for ``count``; ``named``: the fields, otherwise those with few values."""
    fields = dict.fromkeys(key for row in rows for key in row.metadata or ()) if named is None else named
    counted = [_counted(rows, field) for field in fields if named is not None or _can_be_filtered(field)]
    chosen = counted if named is not None else [facet for facet in counted if _has_few_values(facet)][:_FIELDS]
    return Facets([_cut(facet) for facet in chosen], len(rows), count)


def check_facets(named: Sequence[str], fields: Fields | None, index: str) -> None:
    """A `SearchIndexError` for a field that no row of an index has, or that no filter can reach."""
    for field in named:
        check_known_field(field.split(".")[0], fields, f"the facet of {index} names")
        if '"' in field or "\\" in field or field.startswith("$"):
            raise SearchIndexError(f"a filter cannot reach the field {field!r}; rename it and build the index again")


def _can_be_filtered(field: str) -> bool:
    """A filter takes a dot as the way into an object."""
    return not field.startswith("$") and not any(mark in field for mark in '."\\')


def _key(value: object) -> tuple[str, object] | None:
    """True is not 1; lists and objects are no values to filter by."""
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
    """Whether it is worth a filter: of one plain kind, with few values that come more than once on average."""
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
