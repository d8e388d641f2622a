"""What a search may return: conditions on metadata, in the words that vector databases share.

``{"lang": "en", "year": {"$gte": 2020}, "$or": [{"tags.kind": "bug"}, {"open": true}]}``: every condition must hold; a
dot goes into an object. A comparison is of numbers with numbers and texts with texts; where a row lacks the key it does
not hold, so that ``$ne`` and ``$nin``, which deny it, do.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from simcse_kit.errors import SearchIndexError

Json = str | int | float | bool | None
COMPARISONS = {"$eq": "=", "$gt": ">", "$gte": ">=", "$lt": "<", "$lte": "<="}
_OTHERS = ("$ne", "$in", "$nin", "$exists")
_GROUPS = {"$and": "AND", "$or": "OR"}


class Compare(NamedTuple):
    """The value at ``path`` (keys from the outside in) stands so to ``value``; ``op`` is one of `COMPARISONS`."""

    path: tuple[str, ...]
    op: str
    value: Json


class Exists(NamedTuple):
    """There is a value at ``path``; null is one."""

    path: tuple[str, ...]


class Group(NamedTuple):
    """All of the parts hold (``op`` AND), or one of them (OR); none: all hold, none holds."""

    op: str
    parts: tuple[Condition, ...]


class Not(NamedTuple):
    """The part does not hold."""

    part: Condition


Condition = Compare | Exists | Group | Not


def parse_filter(given: Mapping[str, Any]) -> Condition:
    """The condition that a filter states.

    >>> parse_filter({"year": {"$gte": 2020}})
    Compare(path=('year',), op='$gte', value=2020)

    Raises:
        SearchIndexError: an operator that does not exist, or a value that cannot be compared.
    """
    if not isinstance(given, Mapping):
        raise SearchIndexError(f"a filter is an object such as {{'lang': 'en'}}; got {given!r:.80}")
    parts: list[Condition] = []
    for key, value in given.items():
        if not isinstance(key, str):
            raise SearchIndexError(f"a filter's keys are strings; got {key!r}")
        if '"' in key or "\\" in key:
            raise SearchIndexError(f"a filter cannot reach a key with a quotation mark or backslash; got {key!r}")
        if key in _GROUPS:
            parts.append(Group(_GROUPS[key], tuple(map(parse_filter, _list(key, value)))))
        elif key == "$not":
            parts.append(Not(parse_filter(value)))
        elif key.startswith("$"):
            raise SearchIndexError(
                f"{key} is no operator between conditions; there are $and, $or, $not, and inside a key's condition "
                f"{', '.join((*COMPARISONS, *_OTHERS))}"
            )
        else:
            parts.append(_of_key(tuple(key.split(".")), value))
    return parts[0] if len(parts) == 1 else Group("AND", tuple(parts))


def _of_key(path: tuple[str, ...], value: Any) -> Condition:
    if not isinstance(value, Mapping):
        return _compare(path, "$eq", value)
    parts: list[Condition] = []
    for op, operand in value.items():
        if op in COMPARISONS:
            parts.append(_compare(path, op, operand))
        elif op == "$ne":
            parts.append(Not(_compare(path, "$eq", operand)))
        elif op in ("$in", "$nin"):
            one_of = Group("OR", tuple(_compare(path, "$eq", one) for one in _list(op, operand)))
            parts.append(one_of if op == "$in" else Not(one_of))
        elif op == "$exists" and isinstance(operand, bool):
            parts.append(Exists(path) if operand else Not(Exists(path)))
        elif op == "$exists":
            raise SearchIndexError(f"$exists is true or false; got {operand!r:.80}")
        else:
            raise SearchIndexError(
                f"the filter on {'.'.join(path)} has {op!r}; an operator is one of "
                f"{', '.join((*COMPARISONS, *_OTHERS))}"
            )
    return parts[0] if len(parts) == 1 else Group("AND", tuple(parts))


def _compare(path: tuple[str, ...], op: str, value: Any) -> Compare:
    fits = isinstance(value, str | int | float) or (value is None and op == "$eq")
    if not fits or (isinstance(value, bool) and op != "$eq"):
        allowed = "a text, a number, true, false or null" if op == "$eq" else "a text or a number"
        raise SearchIndexError(f"the filter on {'.'.join(path)}: {op} compares with {allowed}; got {value!r:.80}")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:  # no store has such an integer
        value = float(value) if abs(value) < 2**1023 else math.inf
    if isinstance(value, float) and not math.isfinite(value):
        raise SearchIndexError(f"the filter on {'.'.join(path)}: {value} is not a number that JSON has")
    return Compare(path, op, value)


def _list(op: str, value: Any) -> list[Any]:
    if not isinstance(value, list | tuple):
        raise SearchIndexError(f"{op} takes a list; got {value!r:.80}")
    return list(value)


def to_sql(condition: Condition, column: str = "metadata") -> tuple[str, list[Json]]:
    """The condition over a column of JSON text as SQLite's, with its parameters; it is true or false, never null.

    >>> to_sql(Exists(("year",)))
    ('json_type(metadata, ?) IS NOT NULL', ['$."year"'])
    """
    if isinstance(condition, Not):
        text, values = to_sql(condition.part, column)
        return f"NOT ({text})", values
    if isinstance(condition, Group):
        parts = [to_sql(part, column) for part in condition.parts]
        text = f" {condition.op} ".join(f"({part})" for part, _ in parts) or ("1" if condition.op == "AND" else "0")
        return text, [value for _, found in parts for value in found]
    path = "$" + "".join("." + json.dumps(key, ensure_ascii=False) for key in condition.path)
    if isinstance(condition, Exists):
        return f"json_type({column}, ?) IS NOT NULL", [path]
    value = condition.value
    if value is None or isinstance(value, bool):
        return f"ifnull(json_type({column}, ?) = ?, 0)", [path, json.dumps(value)]
    kinds = "('text')" if isinstance(value, str) else "('integer', 'real')"
    text = f"ifnull(json_type({column}, ?) IN {kinds} AND json_extract({column}, ?) {COMPARISONS[condition.op]} ?, 0)"
    return text, [path, path, value]
