"""Delimiter of a `.csv` file: a comma, unless its first lines show another one."""

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
_LINES = 50  # lines that are read to decide
_FEWEST = 2  # records that must agree: a single one may be a sentence with a semicolon
_FEWEST_SENTENCES = 3  # cells for which agreement may be chance
_NUMBER = re.compile(r"[-+]?\d+")
_SAID_FIRST = re.compile(r'"?sep=([,;|\t])"?\s*', re.IGNORECASE)  # as Excel writes it


class Separated(NamedTuple):
    """Lines of a file and their delimiter."""

    delimiter: str
    lines: Iterator[Line]


def find_delimiter(lines: Iterator[Line], source: str) -> Separated:
    """Delimiter of a `.csv` file: ``sep=;`` in the first line, else the one that splits all records into equally many
    cells.

    A delimiter other than the comma gives a notice. Raises `DataError` if the comma and another one both fit.
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
            f"{source}, line {first[0].number}: both commas and {NAMES[others[0]]} could separate the cells of "
            f"the first lines ({shown(without_end(first[0].text))}); quote the cells that contain one of them, "
            f"or start the file with a line that is sep=, or sep={others[0]}"
        )
    if commas > 1 or len(others) != 1:
        return Separated(",", rest)
    say_once(
        f"{source}: the first lines are separated by {NAMES[others[0]]}, not commas; if each line is one "
        "sentence, name the file .txt"
    )
    return Separated(others[0], rest)


def check_tabs(lines: Iterator[Line], source: str) -> Iterator[Line]:
    """Lines of a `.tsv` file. Raises `DataError` if the first lines have no tab but another delimiter."""
    first = list(islice(lines, _LINES))
    others = [delimiter for delimiter in (";", "|") if _width(first, delimiter) > 1]
    if others and not any("\t" in line.text for line in first):
        raise DataError(
            f"{source}, line {first[0].number}: the cells are separated by {NAMES[others[0]]}, not by tabs "
            f"({shown(without_end(first[0].text))}); name the file .csv, or .txt if each line is a sentence"
        )
    return chain(first, lines)


def check_lines(lines: Iterator[Line], source: str) -> Iterator[Line]:
    """Lines of a `.txt` file: each is a sentence. Gives a notice if the first lines look like a table.

    Raises `DataError` if the first cell of each line is a number, which cannot be part of a sentence.
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
            f"{source}, line {first[0].number}: each line starts with a number, separated by {what} ({line}), "
            f"but each line of a .txt file is one sentence; name the file {other} and choose the text column "
            "with --columns"
        )
    say_once(
        f"{source}: the first lines all hold the same number of {what} ({line}), but each line of a .txt file "
        f"is one sentence; if they separate columns, name the file {other}"
    )
    return chain(first, lines)


def _width(lines: list[Line], delimiter: str) -> int:
    """Cells per record; 0 if records differ, break the quoting or have too few cells."""
    widths = []
    records = csv.reader((line.text for line in lines), delimiter=delimiter, strict=True)
    try:
        for cells in records:
            if "".join(cells).strip():
                widths.append(len(cells))
    except csv.Error:
        if records.line_num < _LINES:  # else a quoted cell continues after these lines
            return 0
    return widths[0] if len(widths) >= _FEWEST and len(set(widths)) == 1 else 0
