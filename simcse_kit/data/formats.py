r"""Text files to rows: numbered lines, and one small parser for each format. None of them stops at a bad row.

A line ends at \n and nowhere else: U+2028, \x0b or \x85 are part of the text. In a file that begins with more \r
than \n it ends at \r too.
"""

from __future__ import annotations

import codecs
import csv
import gzip
import io
import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from typing import BinaryIO, NamedTuple

from simcse_kit.data.rows import BadRow, Row, is_blank, shown
from simcse_kit.errors import DataError, say_once

Rows = Iterator[Row | BadRow]

LONGEST_LINE = 1 << 28  # bytes; a longer line, such as 4 GiB of zeros in a small .gz, would fill the memory
_PEEK = 1 << 16  # bytes
_FEWEST_BYTES = 8  # bytes that are read to detect an encoding
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_MARK = "\ufeff"


class Line(NamedTuple):
    """One physical line."""

    number: int  # 1-based
    text: str  # with its line end, which a quoted CSV cell needs
    flaw: str = ""  # error if the bytes are not UTF-8; `text` then holds surrogate escapes


def numbered_lines(stream: BinaryIO, source: str) -> Iterator[Line]:
    """Decode line by line, so that a bad byte affects only its own line.

    Drops UTF-8 byte-order marks. One in the middle of a file (from joining files) gives a notice.
    """
    for number, raw in enumerate(_raw_lines(stream, source), start=1):
        offset = 0
        if number == 1 and raw.startswith(_UTF16):
            raise DataError(
                f"{source}, line 1: the file is UTF-16 (it starts with byte 0x{raw[0]:02x}); save it as UTF-8"
            )
        if raw.startswith(codecs.BOM_UTF8):
            offset = len(codecs.BOM_UTF8)
            raw = raw[offset:]
        if len(raw) > LONGEST_LINE:
            yield Line(number, "", f"the line is longer than {LONGEST_LINE >> 20} MiB; put one text on each line")
            continue
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            byte, position = raw[error.start], error.start + 1 + offset
            flaw = f"invalid UTF-8: byte 0x{byte:02x} at position {position} of the line; save the file as UTF-8"
            yield Line(number, raw.decode(errors="surrogateescape"), flaw)
            continue
        if "\r" in text.rstrip("\r\n"):
            say_once(
                f"{source}, line {number}: a carriage return inside the line is kept as text; if it should end "
                "a line, save the file with one kind of line end",
                key=f"carriage return: {source}",
            )
        if _MARK in text:
            before, _, after = text.partition(_MARK)
            text = text.replace(_MARK, "")
            if not is_blank(before) and not is_blank(after):
                say_once(
                    f"{source}, line {number}: dropped a byte-order mark inside the line; if files were joined, "
                    "two texts may be on one line",
                    key=f"byte-order mark: {source}",
                )
        yield Line(number, text)


def _raw_lines(stream: BinaryIO, source: str) -> Iterator[bytes]:
    """Lines with their ends; of a line longer than `LONGEST_LINE` only the start."""
    start = stream.peek(_PEEK)[:_PEEK] if isinstance(stream, io.BufferedReader | gzip.GzipFile) else b""
    if _is_utf16(start):
        raise DataError(f"{source}, line 1: every other byte is 0, as in UTF-16; save the file as UTF-8")
    if _ends_with_carriage_returns(start.rstrip(b"\r\n"), source):
        say_once(f"{source}: lines end with a carriage return only, as on old Macs; each is read as a line")
        yield from _carriage_returns(stream)
        return
    for raw in iter(partial(stream.readline, LONGEST_LINE + 1), b""):
        yield raw
        if len(raw) > LONGEST_LINE:  # skip the rest of the line
            while raw and not raw.endswith(b"\n"):
                raw = stream.readline(_PEEK)


def _ends_with_carriage_returns(start: bytes, source: str) -> bool:
    r"""Whether lines end with \r alone: no other end is there, and the first \r is in no cell of a CSV file.

    >>> _ends_with_carriage_returns(b"one\rtwo", "a.txt"), _ends_with_carriage_returns(b'"one\rtwo"', "a.csv")
    (True, False)
    """
    first, found, _ = start.partition(b"\r")
    return bool(found) and b"\n" not in start and not (".csv" in source.lower() and first.count(b'"') % 2)


def _is_utf16(start: bytes) -> bool:
    r"""Whether bytes are Latin text in UTF-16 without its mark: every other one is 0.

    >>> _is_utf16("Rain fell.".encode("utf-16-be")), _is_utf16(b"\0\0\0\0\0\0\0\0"), _is_utf16(b"Rain fell.")
    (True, False, False)
    """
    if len(start) < _FEWEST_BYTES or start.startswith(_UTF16):
        return False
    fewer, more = sorted(start[first::2].count(b"\0") / len(start) for first in (0, 1))
    return fewer < 0.05 and more > 0.4


def _carriage_returns(stream: BinaryIO) -> Iterator[bytes]:
    r"""Lines that end in \r, \n or both, with \n as their end."""
    rest = b""
    while block := stream.read(_PEEK):
        *lines, rest = (rest + block).splitlines(keepends=True)  # the line may continue, or the \n of its \r may follow
        for line in lines:
            yield line.rstrip(b"\r\n") + b"\n"
        if len(rest) > LONGEST_LINE:
            break
    if rest:
        yield rest.removesuffix(b"\r")


def without_end(text: str) -> str:
    """Drop one line end, with or without a carriage return."""
    return text.removesuffix("\n").removesuffix("\r")


def starts_with_tabs(lines: Iterable[Line], cells: int) -> tuple[bool, Iterator[Line]]:
    """Whether the first non-blank line has at least N tab-separated cells; and an iterator over all lines."""
    rest = iter(lines)
    seen: list[Line] = []
    for line in rest:
        seen.append(line)
        if line.text.strip():
            return line.text.count("\t") + 1 >= cells, chain(seen, rest)
    return False, iter(seen)


def text_rows(lines: Iterator[Line]) -> Rows:
    """`.txt`: each line is a sentence."""
    for number, text, flaw in lines:
        yield BadRow(number, flaw) if flaw else Row(number, (without_end(text),))


def tab_rows(lines: Iterator[Line]) -> Rows:
    """`.tsv`: tab-separated cells without quoting, because STS files contain single `"` characters."""
    for number, text, flaw in lines:
        yield BadRow(number, flaw) if flaw else Row(number, tuple(without_end(text).split("\t")))


def csv_rows(lines: Iterator[Line], delimiter: str = ",") -> Rows:
    """`.csv` as in RFC 4180: a quoted cell may contain delimiters, doubled quotes and line ends.

    A record with broken quoting is reported at its first line, and reading continues on the next line. So a missing
    closing quote loses one line, not the rest of the file.
    """
    feed = _Feed(lines)
    records = csv.reader(feed, delimiter=delimiter, strict=True)
    while True:
        feed.taken.clear()
        try:
            cells = next(records)
        except StopIteration:
            return
        except csv.Error as error:
            first = feed.taken[0]
            reason = first.flaw or f"{_csv_fault(error, len(feed.taken))}: {shown(without_end(first.text))}"
            feed.give_back_all_but_first()
            yield BadRow(first.number, reason)
            continue
        flawed = next((line for line in feed.taken if line.flaw), None)
        yield BadRow(flawed.number, flawed.flaw) if flawed else Row(feed.taken[0].number, tuple(cells))


class _Feed:
    """Gives lines to `csv.reader`, remembers those of the current record, and can take them back."""

    def __init__(self, lines: Iterator[Line]) -> None:
        self._lines = lines
        self._returned: deque[Line] = deque()
        self.taken: list[Line] = []

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> str:
        line = self._returned.popleft() if self._returned else next(self._lines)
        self.taken.append(line)
        return line.text

    def give_back_all_but_first(self) -> None:
        self._returned.extendleft(reversed(self.taken[1:]))


def _csv_fault(error: csv.Error, lines_taken: int) -> str:
    message = str(error)
    if "new-line character" in message:
        return "a carriage return outside quotes"
    if "field larger" in message and lines_taken == 1:
        return f"a cell is longer than {csv.field_size_limit()} characters"
    # An open quote continues to the next quote, the end of the file, or csv's limit for one cell.
    return 'unbalanced or misplaced " (put the whole cell in quotes and double each " inside it)'


def json_rows(lines: Iterator[Line]) -> Rows:
    """`.jsonl`: each line is an object whose keys name the cells, or a plain string."""
    for number, text, flaw in lines:
        if flaw:
            yield BadRow(number, flaw)
        elif not text.strip():
            yield Row(number, ())
        else:
            yield _json_row(number, text.strip())


def _json_row(number: int, text: str) -> Row | BadRow:
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        return BadRow(number, f"malformed JSON ({error.msg}, column {error.colno}): {shown(text)}")
    except (ValueError, RecursionError):  # an integer with thousands of digits, or thousands of nested brackets
        return BadRow(number, f"cannot parse JSON: {shown(text)}")
    if isinstance(value, dict):
        return Row(number, tuple(value.values()), tuple(value))
    if isinstance(value, str):
        return Row(number, (value,))
    return BadRow(number, f"expected a JSON object or string: {shown(text)}")


TEXT_FORMATS: dict[str, Callable[[Iterator[Line]], Rows]] = {
    ".txt": text_rows,
    ".csv": csv_rows,
    ".tsv": tab_rows,
    ".jsonl": json_rows,
    ".ndjson": json_rows,
}
