"""Queries from standard input, one a line, as soon as they come."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import typer

_READ = 1 << 16  # bytes that are read at once, of what is there
_TOGETHER = 64  # queries that are searched at once
_LONGEST = 1 << 20  # bytes of a line


def standard_input() -> io.BufferedIOBase:
    """Standard input, to read queries from; a usage error where it is a terminal, or closed."""
    if sys.stdin is None or sys.stdin.isatty():
        raise typer.BadParameter(
            "name a query, or send queries to standard input, one a line: simcse-kit search INDEX < queries.txt",
            param_hint="QUERY...",
        )
    stream = sys.stdin.buffer
    assert isinstance(stream, io.BufferedIOBase)
    return stream


def batches_of_queries(stream: io.BufferedIOBase) -> Iterator[list[str]]:
    """The lines that have come, in lists: no line waits for a later one. Blank lines are skipped and counted.

    Raises:
        DataError: a line that is not UTF-8, or longer than 1 MiB; the lines before it come first.
    """
    from simcse_kit.errors import DataError, say_once

    number = blank = 0
    for lines in _lines(stream):
        batch: list[str] = []
        for line in lines:
            number += 1
            query = _query(line, first=number == 1)
            if query is None or len(batch) == _TOGETHER:
                yield batch
                batch = []
            if query is None:
                raise DataError(
                    f"line {number:,} of standard input cannot be read: a query is UTF-8, on one line of at most "
                    f"{_LONGEST:,} bytes"
                )
            if query.strip():
                batch.append(query)
            else:
                blank += 1
        if batch:
            yield batch
    if blank:
        say_once(f"{blank:,} of {number:,} lines of standard input are blank and were skipped")
    elif not number:
        say_once("standard input is empty: no query was searched for")


def _lines(stream: io.BufferedIOBase) -> Iterator[list[bytes]]:
    """Whole lines, those together that came together; a line that is too long comes in parts."""
    rest = b""
    while read := stream.read1(_READ):
        *lines, rest = (rest + read).split(b"\n")
        if len(rest) > _LONGEST:
            lines, rest = [*lines, rest], b""
        if lines:
            yield lines
    if rest:
        yield [rest]


def _query(line: bytes, *, first: bool) -> str | None:
    """A line as text; None where it is too long or not UTF-8. The first line may begin with a byte order mark."""
    if len(line) > _LONGEST:
        return None
    try:
        return line.removesuffix(b"\r").decode("utf-8-sig" if first else "utf-8")
    except UnicodeDecodeError:
        return None
