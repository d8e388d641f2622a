"""Filters on metadata, in the syntax that vector databases share.

``{"lang": "en", "year": {"$gte": 2020}, "$or": [{"tags.kind": "bug"}, {"open": true}]}``: all conditions must hold; a
dot selects inside an object. Numbers are compared only with numbers, texts only with texts. A comparison with a missing
key is false, so its negations ``$ne`` and ``$nin`` are true.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from simcse_kit.errors import SearchIndexError

Json = str | int | float | bool | None
COMPARISONS = {"$eq": "=", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_OTHERS = ("$ne", "$in", "$nin", "$exists")
_GROUPS = {"$and": "AND", "$or": "OR"}
_DEEPEST = 40  # depth of nested conditions that stores can parse
_MOST = 5_000  # values in one list
_MOST_IN_ALL = 10_000  # conditions and values in total: SQLite allows 32,766 parameters, and a comparison takes three


class Compare(NamedTuple):
    """Compares the value at ``path`` (keys from the outside in) with ``value``; ``op`` is one of `COMPARISONS`."""

    path: tuple[str, ...]
    op: str
    value: Json


class Exists(NamedTuple):
    """There is a value at ``path``; null is one."""

    path: tuple[str, ...]


class BooleanGroup(NamedTuple):
    """All parts hold (``op`` AND), or at least one (OR). Without parts: AND is true, OR is false."""

    op: str
    parts: tuple[Condition, ...]


class Not(NamedTuple):
    """The part does not hold."""

    part: Condition


Condition = Compare | Exists | BooleanGroup | Not


def parse_filter(given: Mapping[str, Any]) -> Condition:
    """Parse a filter: at most 40 levels deep, with at most 10,000 conditions and values in total.

    >>> parse_filter({"year": {"$gte": 2020}})
    Compare(path=('year',), op='$gte', value=2020)

    Raises:
        SearchIndexError: an unknown operator, or a value that cannot be compared.
    """
    return _parsed(given, 0, itertools.count(1))


def _parsed(given: Any, depth: int, counter: Iterator[int]) -> Condition:
    """``counter`` numbers the conditions and values."""
    _count(counter)
    if depth > _DEEPEST:
        raise SearchIndexError(f"a filter may be at most {_DEEPEST} levels deep")
    if not isinstance(given, Mapping):
        raise SearchIndexError(f"a filter must be an object such as {{'lang': 'en'}}; got {given!r:.80}")
    parts: list[Condition] = []
    for key, value in given.items():
        if not isinstance(key, str):
            raise SearchIndexError(f"a filter's keys must be strings; got {key!r}")
        if '"' in key or "\\" in key:
            raise SearchIndexError(f"a filter cannot use a key with a quotation mark or backslash; got {key!r}")
        if key in _GROUPS:
            parts.append(
                BooleanGroup(_GROUPS[key], tuple(_parsed(one, depth + 1, counter) for one in _list(key, value)))
            )
        elif key == "$not":
            parts.append(Not(_parsed(value, depth + 1, counter)))
        elif key.startswith("$"):
            raise SearchIndexError(
                f"unknown operator {key}; between conditions use $and, $or, $not, and inside a key's condition "
                f"{', '.join((*COMPARISONS, *_OTHERS))}"
            )
        else:
            parts.append(_of_key(tuple(key.split(".")), value, counter))
    return parts[0] if len(parts) == 1 else BooleanGroup("AND", tuple(parts))


def _of_key(path: tuple[str, ...], value: Any, counter: Iterator[int]) -> Condition:
    if not isinstance(value, Mapping):
        return _compare(path, "$eq", value, counter)
    _count(counter)
    parts: list[Condition] = []
    for op, operand in value.items():
        if op in COMPARISONS:
            parts.append(_compare(path, op, operand, counter))
        elif op == "$ne":
            parts.append(Not(_compare(path, "$eq", operand, counter)))
        elif op in ("$in", "$nin"):
            one_of = BooleanGroup("OR", tuple(_compare(path, "$eq", one, counter) for one in _list(op, operand)))
            parts.append(one_of if op == "$in" else Not(one_of))
        elif op == "$exists" and isinstance(operand, bool):
            parts.append(Exists(path) if operand else Not(Exists(path)))
        elif op == "$exists":
            raise SearchIndexError(f"$exists takes true or false; got {operand!r:.80}")
        else:
            raise SearchIndexError(
                f"the filter on {'.'.join(path)} has {op!r}; use one of {', '.join((*COMPARISONS, *_OTHERS))}"
            )
    return parts[0] if len(parts) == 1 else BooleanGroup("AND", tuple(parts))


def _count(counter: Iterator[int]) -> None:
    if next(counter) > _MOST_IN_ALL:
        raise SearchIndexError(
            f"a filter may have at most {_MOST_IN_ALL:,} conditions and values in total; this one has more"
        )


def _compare(path: tuple[str, ...], op: str, value: Any, counter: Iterator[int]) -> Compare:
    _count(counter)
    fits = isinstance(value, str | int | float) or (value is None and op == "$eq")
    if not fits or (isinstance(value, bool) and op != "$eq"):
        allowed = "a text, a number, true, false or null" if op == "$eq" else "a text or a number"
        raise SearchIndexError(f"the filter on {'.'.join(path)}: {op} takes {allowed}; got {value!r:.80}")
    if isinstance(value, str) and "\0" in value:
        raise SearchIndexError(
            f"the filter on {'.'.join(path)}: metadata never contain a NUL character; got {value!r:.80}"
        )
    if isinstance(value, int) and not -(2**63) <= value < 2**63:  # too large for an integer of any store
        value = float(value) if abs(value) < 2**1023 else math.inf
    if isinstance(value, float) and not math.isfinite(value):
        raise SearchIndexError(f"the filter on {'.'.join(path)}: JSON has no number {value}")
    return Compare(path, op, value)


def _list(op: str, value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise SearchIndexError(f"{op} takes a list; got {value!r:.80}")
    if len(value) > _MOST:
        raise SearchIndexError(f"{op} takes at most {_MOST:,} values; got {len(value):,}")
    return list(value)


def to_sql(condition: Condition, column: str = "metadata") -> tuple[str, list[Json]]:
    """The condition on a column of JSON text as SQL for SQLite, with parameters; it is true or false, never null.

    >>> to_sql(Exists(("year",)))
    ('json_type(metadata, ?) IS NOT NULL', ['$."year"'])
    """
    if isinstance(condition, Not):
        text, values = to_sql(condition.part, column)
        return f"NOT ({text})", values
    if isinstance(condition, BooleanGroup):
        if not condition.parts:
            return ("1" if condition.op == "AND" else "0"), []
        sets, rest = _sets(condition) if condition.op == "OR" else ({}, list(condition.parts))
        parts = [_one_of(path, values, column) for (path, _), values in sets.items()]
        return _joined([*parts, *(to_sql(part, column) for part in rest)], condition.op)
    path = _json_path(condition.path)
    if isinstance(condition, Exists):
        return f"json_type({column}, ?) IS NOT NULL", [path]
    value = condition.value
    if value is None or isinstance(value, bool):
        return f"ifnull(json_type({column}, ?) = ?, 0)", [path, json.dumps(value)]
    kinds = _kinds(value)
    text = f"ifnull(json_type({column}, ?) IN {kinds} AND json_extract({column}, ?) {COMPARISONS[condition.op]} ?, 0)"
    return text, [path, path, value]


def _json_path(path: tuple[str, ...]) -> str:
    return "$" + "".join("." + json.dumps(key, ensure_ascii=False) for key in path)


def _kinds(value: Json) -> str:
    return "('text')" if isinstance(value, str) else "('integer', 'real')"


def _joined(parts: list[tuple[str, list[Json]]], op: str) -> tuple[str, list[Json]]:
    """The parts as a balanced tree: SQLite limits the depth of an expression, and a chain is as deep as it is long."""
    if len(parts) == 1:
        return parts[0]
    (left, first), (right, second) = _joined(parts[: len(parts) // 2], op), _joined(parts[len(parts) // 2 :], op)
    return f"({left}) {op} ({right})", first + second


def _sets(group: BooleanGroup) -> tuple[dict[tuple[tuple[str, ...], str], list[Json]], list[Condition]]:
    """Texts or numbers that the value at a path may equal, by path and kind; and the remaining conditions."""
    sets: dict[tuple[tuple[str, ...], str], list[Json]] = {}
    rest: list[Condition] = []
    for part in group.parts:
        if isinstance(part, Compare) and part.op == "$eq" and not isinstance(part.value, bool | None):
            sets.setdefault((part.path, _kinds(part.value)), []).append(part.value)
        else:
            rest.append(part)
    return sets, rest


def _one_of(path: tuple[str, ...], values: list[Json], column: str) -> tuple[str, list[Json]]:
    """Equality with one of many texts or numbers, by a set lookup instead of one comparison each."""
    text = (
        f"ifnull(json_type({column}, ?) IN {_kinds(values[0])} "
        f"AND json_extract({column}, ?) IN (SELECT value FROM json_each(?)), 0)"
    )
    return text, [_json_path(path), _json_path(path), json.dumps(values, ensure_ascii=False)]
