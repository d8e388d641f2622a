"""What type a column of metadata has, decided once over all of its cells."""

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
_NUMBER = re.compile(r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][-+]?[0-9]+)?")  # as JSON has it, which 007 is not


def kind_of(value: Any) -> str:
    """What type a value of a JSON object has.

    >>> [kind_of(value) for value in (True, 7, 19.9, "007", None, ["a"])]
    ['boolean', 'integer', 'float', 'text', 'null', 'object']
    """
    return _KINDS.get(type(value), "object")


def joined(before: str, kind: str) -> str:
    """The type of a field that has values of both; null stands for no value yet.

    >>> joined("integer", "float"), joined("null", "text"), joined("float", "text")
    ('float', 'text', 'mixed')
    """
    if before == kind or kind == "null":
        return before
    if before == "null":
        return kind
    return "float" if {before, kind} == {"integer", "float"} else "mixed"


def breaks(known: str, kind: str) -> bool:
    """Whether a value of type ``kind`` cannot be in a field of type ``known``."""
    return known != "mixed" and joined(known, kind) == "mixed"


def value_in_text(cell: str) -> str | int | float | bool | None:
    """What a cell of a text file says by itself; None for nothing.

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
        return int(text) if len(text) < 20 and abs(int(text)) < 2**63 else text  # an id: no store has such an integer
    return float(text) if math.isfinite(float(text)) else text


def value_in_json(cell: object) -> Any:
    """A cell of a file with types as JSON has it: a decimal is a number, a date ISO text; NaN and blank are nothing."""
    if isinstance(cell, str):
        return cell.strip() or None
    if isinstance(cell, float) and math.isnan(cell):
        return None
    if isinstance(cell, Decimal) and cell.is_finite():
        return float(cell)
    if isinstance(cell, datetime.date | datetime.time):  # a date with a time too
        return cell.isoformat()
    try:
        json.dumps(cell, allow_nan=False)
    except (TypeError, ValueError):
        return str(cell)
    return cell


def as_kind(cell: object, value: Any, kind: str | None) -> Any:
    """A ``value`` that a ``cell`` says, as one of its column's type; None: as it is."""
    if kind == "text" and not isinstance(value, str):
        return cell.strip() if isinstance(cell, str) else json.dumps(value, ensure_ascii=False)
    if kind is not None and kind != "text" and breaks(kind, kind_of(value)):
        raise RowProblem(f"expected a value of type {kind}, found {shown(value)}; has the file changed?")
    return float(value) if kind == "float" else value


def decided_kinds(names: Iterable[str], rows: Iterable[Mapping[str, Any]], known: Mapping[str, str]) -> dict[str, str]:
    """The type of each column over all rows; ``known``: those that an index has. A column of several types is text.

    That is said, with the first value of the type that is rarer.
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
                f"column {name} is kept as text: its values are {says} (first {rarest}: {shown(value)} in row "
                f"{number:,}); filters compare it as text"
            )
            kind = "text"
        kinds[name] = kind
    return {name: kind for name, kind in kinds.items() if kind not in ("null", "mixed")}
