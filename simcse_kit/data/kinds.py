"""Type of a metadata column, decided once from all its cells."""

from __future__ import annotations

import datetime
import json
import math
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from simcse_kit.data.rows import RowProblem, shown
from simcse_kit.errors import say_once

_KINDS = {bool: "boolean", int: "integer", float: "float", str: "text", type(None): "null"}
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")  # numbers as in JSON; 007 is not one


def kind_of(value: Any) -> str:
    """Type of a JSON value.

    >>> [kind_of(value) for value in (True, 7, 19.9, "007", None, ["a"])]
    ['boolean', 'integer', 'float', 'text', 'null', 'object']
    """
    return _KINDS.get(type(value), "object")


def joined(before: str, kind: str) -> str:
    """Type of a field with values of both types; null means no value yet.

    >>> joined("integer", "float"), joined("null", "text"), joined("float", "text")
    ('float', 'text', 'mixed')
    """
    if before == kind or kind == "null":
        return before
    if before == "null":
        return kind
    return "float" if {before, kind} == {"integer", "float"} else "mixed"


def breaks(known: str, kind: str) -> bool:
    """Whether a value of type ``kind`` is not allowed in a field of type ``known``."""
    return known != "mixed" and joined(known, kind) == "mixed"


def value_in_text(cell: str) -> str | int | float | bool | None:
    """Type of a single cell of a text file; None for an empty cell.

    >>> [value_in_text(text) for text in ("7", "19.90", "TRUE", "007", "1e999", " ")]
    [7, 19.9, True, '007', '1e999', None]
    """
    text = cell.strip()
    if text.casefold() in ("true", "false"):
        return text.casefold() == "true"
    found = _NUMBER.fullmatch(text)
    if found is None:
        return text or None
    if found[2] is None and found[3] is None:
        return int(text) if len(text) < 20 and abs(int(text)) < 2**63 else text  # too long for a stored integer: an id
    return float(text) if math.isfinite(float(text)) else text


def value_in_json(cell: object) -> Any:
    """A cell of a typed file as JSON: a decimal becomes a number, a date ISO text; NaN and blank become None."""
    if isinstance(cell, str):
        return cell.strip() or None
    if isinstance(cell, float) and math.isnan(cell):
        return None
    if isinstance(cell, Decimal) and cell.is_finite():
        return float(cell)
    if isinstance(cell, datetime.date | datetime.time):  # includes dates with a time
        return cell.isoformat()
    try:
        json.dumps(cell, allow_nan=False)
    except (TypeError, ValueError):
        return str(cell)
    return cell


def as_kind(cell: object, value: Any, kind: str | None) -> Any:
    """``value``, read from ``cell``, in the type of its column; None: unchanged."""
    if kind == "text" and not isinstance(value, str):
        return cell.strip() if isinstance(cell, str) else json.dumps(value, ensure_ascii=False)
    if kind is not None and kind != "text" and breaks(kind, kind_of(value)):
        raise RowProblem(f"expected a value of type {kind}, found {shown(value)}; has the file changed?")
    return float(value) if kind == "float" else value


def decided_kinds(names: Iterable[str], rows: Iterable[Mapping[str, Any]], known: Mapping[str, str]) -> dict[str, str]:
    """Type of each column over all rows. ``known``: types of an existing index. A column of mixed types is text.

    Mixed types give a notice with the first value of the rarer type.
    """
    counts: dict[str, Counter[str]] = {name: Counter() for name in names}
    first: dict[tuple[str, str], tuple[int, Any]] = {}
    for number, row in enumerate(rows, 1):
        for name, value in row.items():
            kind = kind_of(value)
            if not counts[name][kind]:
                first[name, kind] = (number, value)
            counts[name][kind] += 1
    kinds: dict[str, str] = {}
    for name, found in counts.items():
        kind = known.get(name, "null")
        if kind in ("mixed", "text"):
            kinds[name] = kind
            continue
        for one in found:
            kind = joined(kind, one)
        if kind == "mixed":
            rarest = min(found, key=lambda one: found[one])
            number, value = first[name, rarest]
            says = " and ".join(f"{count:,} {one}" for one, count in found.most_common())
            say_once(
                f"column {name} is stored as text: its values are {says} (first {rarest}: {shown(value)} in row "
                f"{number:,}); filters will compare it as text"
            )
            kind = "text"
        kinds[name] = kind
    return {name: kind for name, kind in kinds.items() if kind not in ("null", "mixed")}
