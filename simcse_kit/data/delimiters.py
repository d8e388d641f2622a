"""What separates the cells of a `.csv` file: a comma, or what its first lines show instead."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from itertools import chain, islice
from typing import NamedTuple

from simcse_kit.data.formats import Line, without_end
from simcse_kit.data.rows import shown
from simcse_kit.errors import DataError, say_once

NAMES = {";": "semicolons", "|": "vertical bars", "\t": "tabs"}
_LINES = 50  # that are looked at
_FEWEST = 2  # records that must agree: one alone may be a sentence with a semicolon
_FEWEST_SENTENCES = 3  # in which it may be chance
_NUMBER = re.compile(r"[-+]?\d+")
_SAID_FIRST = re.compile(r'"?sep=([,;|\t])"?\s*', re.IGNORECASE)  # as Excel writes it


class Separated(NamedTuple):
    """The lines of a file and what separates their cells."""

    delimiter: str
    lines: Iterator[Line]


def find_delimiter(lines: Iterator[Line], source: str) -> Separated:
    """The delimiter of a `.csv` file: ``sep=;`` in the first line, else the one that gives all records one width.

    Another one than the comma is said once. Raises `DataError` where the comma and another one both fit.
    """
    first = list(islice(lines, _LINES))
    rest = chain(first, lines)
    if first and (told := _SAID_FIRST.fullmatch(without_end(first[0].text))):
        next(rest)
        return Separated(told[1], rest)
    commas = _width(first, ",")
    others = [delimiter for delimiter in NAMES if _width(first, delimiter) > 1]
    if commas > 1 and others:
        raise DataError(
            f"{source}, line {first[0].number}: commas and {NAMES[others[0]]} both separate the first lines into cells "
            f"({shown(without_end(first[0].text))}); put the cells that hold one of them in quotes, or begin the file "
            f"with the line sep=, or sep={others[0]}"
        )
    if commas > 1 or len(others) != 1:
        return Separated(",", rest)
    say_once(
        f"{source}: {NAMES[others[0]]} separate the cells, as the first lines show; where a line is one sentence, name "
        "the file .txt"
    )
    return Separated(others[0], rest)


def check_tabs(lines: Iterator[Line], source: str) -> Iterator[Line]:
    """The lines of a `.tsv` file; raises `DataError` where no tab but another delimiter separates the first ones."""
    first = list(islice(lines, _LINES))
    others = [delimiter for delimiter in (";", "|") if _width(first, delimiter) > 1]
    if others and not any("\t" in line.text for line in first):
        raise DataError(
            f"{source}, line {first[0].number}: {NAMES[others[0]]} separate the cells, and no tab is there "
            f"({shown(without_end(first[0].text))}); name the file .csv, or .txt where a line is a sentence"
        )
    return chain(first, lines)


def check_lines(lines: Iterator[Line], source: str) -> Iterator[Line]:
    """The lines of a `.txt` file, each a sentence whatever it holds; says so where the first ones look like a table.

    Raises `DataError` where each begins with a number as its first cell, which is no part of a sentence.
    """
    first = list(islice(lines, _LINES))
    cells = {delimiter: _width(first, delimiter) for delimiter in NAMES} if len(first) >= _FEWEST_SENTENCES else {}
    delimiter = next((delimiter for delimiter, width in cells.items() if width > 1), None)
    if delimiter is None:
        return chain(first, lines)
    what, line = NAMES[delimiter], shown(without_end(first[0].text))
    other = ".tsv" if delimiter == "\t" else ".csv"
    rows = [line.text.split(delimiter) for line in first if line.text.strip()]
    if all(_NUMBER.fullmatch(cells[0].strip()) for cells in rows):
        raise DataError(
            f"{source}, line {first[0].number}: each line begins with a number, and {what} separate it from the rest "
            f"({line}), but in a .txt file a line is one sentence; name the file {other}, and pick the column of the "
            "text with --columns"
        )
    say_once(
        f"{source}: {what} stand equally often in each of the first lines ({line}), but in a .txt file a line is one "
        f"sentence; if they separate columns, name the file {other}"
    )
    return chain(first, lines)


def _width(lines: list[Line], delimiter: str) -> int:
    """How many cells each record has; 0 where they differ, break the quoting or are too few."""
    widths = []
    records = csv.reader((line.text for line in lines), delimiter=delimiter, strict=True)
    try:
        for cells in records:
            if "".join(cells).strip():
                widths.append(len(cells))
    except csv.Error:
        if records.line_num < _LINES:  # else a quoted cell goes on behind the last of these lines
            return 0
    return widths[0] if len(widths) >= _FEWEST and len(set(widths)) == 1 else 0
