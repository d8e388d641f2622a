"""What every format is read into: numbered rows of cells, good or bad."""

from __future__ import annotations

from collections.abc import Sequence
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


def is_blank(cells: Sequence[object]) -> bool:
    """Whether there is nothing but white space. A null is not blank: it is a fault in the data."""
    return all(isinstance(cell, str) and (not cell or cell.isspace()) for cell in cells)


def text_of(cell: object) -> str:
    """The cell stripped at both ends; raises `RowProblem` for anything but sound text."""
    if not isinstance(cell, str):
        raise RowProblem(f"expected a string, found {shown(cell)}")
    if not cell.isascii():
        try:
            cell.encode()
        except UnicodeEncodeError as error:  # JSON can spell "\ud83d" without its second half
            half = cell[error.start]
            raise RowProblem(f"half a surrogate pair ({half!r}) is not text: {shown(cell)}") from None
    return cell.strip()


def texts_of(cells: Sequence[object]) -> tuple[str, ...] | None:
    """All cells as text, or None where all are blank; raises `RowProblem` where only some are.

    >>> texts_of([" A man sings. ", "He sings."])
    ('A man sings.', 'He sings.')
    """
    texts = tuple([text_of(cell) for cell in cells])
    if all(texts):
        return texts
    if any(texts):
        raise RowProblem(f"cell {texts.index('') + 1} of {len(texts)} is empty: {shown(texts)}")
    return None
