"""Filters as Milvus expressions with the same results as in SQLite.

Milvus's own JSON comparisons differ: null counts as a missing key, and in Milvus Lite true equals 1. So each row has
`terms`, one per fact about its metadata that a filter can test (a value exists at a path, it is a number, it equals
this value), and filters test these. Only order comparisons use the JSON, after terms show that both sides are numbers
or both are texts.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from simcse_kit.search.filters import BooleanGroup, Compare, Condition, Exists, Json, Not

TERM_BYTES = 512  # length of the longest term; longer ones are replaced by a hash
MOST_TERMS = 4096  # in an array that Milvus keeps
_ORDER = {"$gt": (">", "<="), "$gte": (">=", "<"), "$lt": ("<", ">="), "$lte": ("<=", ">")}  # and its negation
_UNREACHABLE = set('".\\')  # filters cannot use keys with one of these
_ESCAPES = str.maketrans({"\\": "\\\\", '"': '\\"', "\n": "\\n", "\r": "\\r", "\t": "\\t"})


def terms(metadata: Mapping[str, Any] | None) -> list[str]:
    """Terms of a row's metadata.

    >>> terms({"by": {"year": 2020.0}})
    ['["by"]?', '["by","year"]?', '["by","year"]number', '["by","year"]=2020']
    """
    return [] if metadata is None else list(_terms((), metadata))


def _terms(path: tuple[str, ...], metadata: Mapping[str, Any]) -> Iterator[str]:
    for key, value in metadata.items():
        if _UNREACHABLE & set(key):
            continue
        here = (*path, key)
        yield _term(here, "?")
        if isinstance(value, Mapping):
            yield from _terms(here, value)
        elif not isinstance(value, list | tuple):
            if kind := _kind(value):
                yield _term(here, kind)
            yield _term(here, "=" + _canonical(value))


def _kind(value: Json) -> str:
    if isinstance(value, str):
        return "text"
    return "" if value is None or isinstance(value, bool) else "number"


def _canonical(value: Json) -> str:
    """Text that is equal for equal values: 1 and 1.0 are the same number."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        value = int(value)
    return json.dumps(value, ensure_ascii=False)


def _term(path: tuple[str, ...], fact: str) -> str:
    term = json.dumps(path, ensure_ascii=False, separators=(",", ":")) + fact
    if len(raw := term.encode()) <= TERM_BYTES:
        return term
    return "#" + hashlib.blake2b(raw, digest_size=20).hexdigest()


def quoted(text: str) -> str:
    """A text as a literal of Milvus's expressions."""
    return f'"{text.translate(_ESCAPES)}"'


def literal(value: str | int | float) -> str:
    """A text or number as a literal of Milvus's expressions."""
    if isinstance(value, str):
        return quoted(value)
    return repr(float(value) if abs(value) >= 2**63 else value)


def to_milvus(condition: Condition, denied: bool = False) -> str:
    """The condition or its negation as an expression over the fields ``terms`` and ``metadata``.

    Negations are pushed down to the comparisons, so that ``not`` is never applied to what Milvus cannot decide.

    >>> print(to_milvus(Compare(("year",), "$gte", 2020)))
    (array_contains(terms, "[\\"year\\"]number") and metadata["year"] >= 2020)
    """
    if isinstance(condition, Not):
        return to_milvus(condition.part, not denied)
    if isinstance(condition, BooleanGroup):
        return _group(condition, denied)
    if term := _fact(condition):
        return _contains([term], denied)
    assert isinstance(condition, Compare)
    assert isinstance(condition.value, str | int | float)
    path = "".join(f"[{quoted(key)}]" for key in condition.path)
    order = f"metadata{path} {_ORDER[condition.op][denied]} {literal(condition.value)}"
    comparable = _contains([_term(condition.path, _kind(condition.value))], denied)
    return f"({comparable} {'or' if denied else 'and'} {order})"


def _fact(condition: Condition) -> str | None:
    """The single term that decides a condition, if there is one."""
    if isinstance(condition, Exists):
        return _term(condition.path, "?")
    if isinstance(condition, Compare) and condition.op == "$eq":
        return _term(condition.path, "=" + _canonical(condition.value))
    return None


def _group(group: BooleanGroup, denied: bool) -> str:
    either = (group.op == "OR") != denied
    facts: list[str] = []
    parts: list[str] = []
    for part in group.parts:
        negative = denied
        while isinstance(part, Not):
            part, negative = part.part, not negative
        fact = _fact(part)
        if fact is not None and negative != either:  # a long list, as of $in or $nin, is one comparison
            facts.append(fact)
        else:
            parts.append(to_milvus(part, negative))
    if facts:
        parts.append(_contains(facts, not either))
    if not parts:
        return "number < 0" if either else "number >= 0"
    return "(" + (" or " if either else " and ").join(parts) + ")"


def _contains(found: list[str], denied: bool) -> str:
    if len(found) == 1:
        text = f"array_contains(terms, {quoted(found[0])})"
    else:
        text = f"array_contains_any(terms, [{', '.join(map(quoted, found))}])"
    return f"not {text}" if denied else text
