"""The common form of all formats: numbered rows of cells, good or bad."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NamedTuple

# Control characters, characters that Unicode ignores by default, and the blank Braille pattern.
_UNSEEN = (
    r"\x00-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    r"\u2800\u3164\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff"
)
_SEEN = re.compile(rf"[^\s{_UNSEEN}]")


def is_blank(text: str) -> bool:
    """Whether the text has no visible character: only white space, zero-width and control characters.

    >>> is_blank(""), is_blank("\u200b \ufeff"), is_blank("\u200ba")
    (True, True, False)
    """
    return _SEEN.search(text) is None


@dataclass(frozen=True)
class BadRow:
    """A row that cannot be used: its position (1-based line of a file, or row of a table) and the reason."""

    line: int
    reason: str


class Row(NamedTuple):
    """One record of the source. Cells are text except in JSON, Parquet and Hub data sets."""

    line: int  # 1-based; physical line at which the record starts
    cells: tuple[object, ...]
    names: tuple[str, ...] | None = None  # one name per cell, if the format names cells


class RowProblem(ValueError):
    """A row does not fit. Becomes a `BadRow`, or a `DataError` with file and line."""


def shown(value: object, limit: int = 60) -> str:
    """A value for an error text: on one line, cut to about `limit` characters.

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
