r"""Bytes to numbered lines. A line ends at \n and nowhere else: U+2028, \x0b or \x85 are part of the text."""

from __future__ import annotations

import codecs
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import BinaryIO, NamedTuple

from simcse_kit.errors import DataError


class Line(NamedTuple):
    """One physical line."""

    number: int  # 1-based
    text: str  # with its line end, which a quoted CSV cell needs
    flaw: str = ""  # why the bytes are not UTF-8; `text` then holds surrogate escapes


def numbered_lines(stream: BinaryIO, source: str) -> Iterator[Line]:
    """Decode line by line, so that one bad byte costs one line; a UTF-8 byte-order mark is dropped."""
    for number, raw in enumerate(stream, start=1):
        offset = 0
        if number == 1:
            if raw.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
                raise DataError(f"{source}, line 1: the file is UTF-16 (byte 0x{raw[0]:02x} first); save it as UTF-8")
            if raw.startswith(codecs.BOM_UTF8):
                offset = len(codecs.BOM_UTF8)
                raw = raw[offset:]
        try:
            line = Line(number, raw.decode())
        except UnicodeDecodeError as error:
            byte, position = raw[error.start], error.start + 1 + offset
            flaw = f"invalid UTF-8: byte 0x{byte:02x} at position {position} of the line; save the file as UTF-8"
            line = Line(number, raw.decode(errors="surrogateescape"), flaw)
        yield line


def without_end(text: str) -> str:
    """Drop one line end, with or without a carriage return."""
    return text.removesuffix("\n").removesuffix("\r")


def starts_with_tabs(lines: Iterable[Line], cells: int) -> tuple[bool, Iterator[Line]]:
    """Whether the first line that is not blank has at least so many tab-separated cells; and all the lines again."""
    rest = iter(lines)
    seen: list[Line] = []
    for line in rest:
        seen.append(line)
        if line.text.strip():
            return line.text.count("\t") + 1 >= cells, chain(seen, rest)
    return False, iter(seen)
