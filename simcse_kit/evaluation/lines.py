"""Lines of a data file."""

from __future__ import annotations

import codecs
from pathlib import Path

from simcse_kit.errors import DataError


def lines_of(path: Path, help_text: str, *, otherwise: str | None = None) -> list[str]:
    """All lines of a file in UTF-8, with or without a byte-order mark, including blank lines, so that line numbers are
    right.

    Args:
        path: the file.
        help_text: how to get the file, for the error.
        otherwise: encoding to use for a file that is not UTF-8; None: raise an error.

    Raises:
        DataError: the file is missing, or not in UTF-8.
    """
    need(path, help_text)
    content = path.read_bytes().removeprefix(codecs.BOM_UTF8)
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        if otherwise is None:
            line = content.count(b"\n", 0, error.start) + 1
            raise DataError(
                f"{path}, line {line}: not UTF-8 (byte 0x{content[error.start]:02x}); save the file as UTF-8"
            ) from None
        text = content.decode(otherwise)
    # not splitlines(): it also cuts at characters that may stand inside a sentence (U+0085, U+2028)
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def need(path: Path, help_text: str) -> None:
    """A `DataError` that says how to get a missing file."""
    if not path.is_file():
        raise DataError(f"{path.absolute()} is missing. {help_text}.")
