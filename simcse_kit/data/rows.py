"""What every format is read into: numbered rows of cells, good or bad."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used: where it starts (1-based line of a file, or row of a table) and why."""

    line: int
    reason: str


class Row(NamedTuple):
    """One record as it stands in the source; cells are text except in JSON, Parquet and Hub data sets."""

    line: int  # 1-based; the physical line where the record starts
    cells: tuple[object, ...]
    names: tuple[str, ...] | None = None  # one per cell where the format itself names them


class RowProblem(ValueError):
    """A row does not fit; becomes a `BadRow` or, with file and line in front, a `DataError`."""


def shown(value: object, limit: int = 60) -> str:
    """A value as an error quotes it, on one line and cut to about `limit` characters.

    >>> shown("A man is playing a guitar on the street.", limit=20)
    "'A man is playing ...'"
    >>> shown(None), shown(["two", "cells"])
    ('null', "'two, cells'")
    """
    if value is None:
        return "null"
    if isinstance(value, list | tuple):
        value = ", ".join(str(cell) for cell in value)
    if not isinstance(value, str):
        text = str(value)
        return text if len(text) <= limit else text[: limit - 3] + "..."
    return repr(value if len(value) <= limit else value[: limit - 3] + "...")
