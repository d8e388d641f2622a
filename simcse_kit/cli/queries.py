"""Queries from standard input, one per line, read as they arrive."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator

import typer

from simcse_kit.wording import counted

_READ = 1 << 16  # bytes per read
_TOGETHER = 64  # queries per search call
_LONGEST = 1 << 20  # longest line, in bytes


def standard_input() -> io.BufferedIOBase:
    """Standard input as a source of queries; a usage error if it is a terminal or closed."""
    if sys.stdin is None or sys.stdin.isatty():
        raise typer.BadParameter(
            "give a query, or send queries to standard input, one per line: simcse-kit search INDEX < queries.txt",
            param_hint="QUERY...",
        )
    stream = sys.stdin.buffer
    assert isinstance(stream, io.BufferedIOBase)
    return stream


def batches_of_queries(stream: io.BufferedIOBase) -> Iterator[list[str]]:
    """Lines in lists, as they arrive: no line waits for a later one. Skips and counts blank lines.

    Raises:
        DataError: a line is not UTF-8, or longer than 1 MiB; earlier lines are given first.
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
                    f"cannot read line {number:,} of standard input: a query is UTF-8, on one line of at most "
                    f"{_LONGEST:,} bytes"
                )
            if query.strip():
                batch.append(query)
            else:
                blank += 1
        if batch:
            yield batch
    if blank:
        say_once(f"skipped {counted(blank, 'blank line')} of {counted(number, 'line')} of standard input")
    elif not number:
        say_once("standard input is empty: no query was searched")


def _lines(stream: io.BufferedIOBase) -> Iterator[list[bytes]]:
    """Whole lines in the groups in which they arrived; an overlong line comes in parts."""
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
    """A line as text; None if it is too long or not UTF-8. The first line may start with a byte order mark."""
    if len(line) > _LONGEST:
        return None
    try:
        return line.removesuffix(b"\r").decode("utf-8-sig" if first else "utf-8")
    except UnicodeDecodeError:
        return None
