"""Documents as a stream of lines; nothing is held longer than a line (or a row's text)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from simcse_kit.data.columns import layout_of_text, wanted_names
from simcse_kit.data.reading import SUFFIXES, Layout, Reading, open_rows
from simcse_kit.data.rows import text_of
from simcse_kit.data.text import SENTENCES
from simcse_kit.errors import DataError

DOCUMENTS = replace(SENTENCES, what="documents", advice="pick the column with --column (column=)")
WHOLE_LINE = Layout((0,), 1)


def files_of(sources: Sequence[str | Path], tally: Counter[str]) -> list[str]:
    """The files to read: those named, and those below a named folder that end in one of `SUFFIXES` (or that and .gz).

    Other files of a folder (hidden ones apart) are tallied as ``ignored_files``, empty ones as ``empty_files``.
    Raises `DataError` for a named file that is not there or is of no known kind, and where nothing is left.
    """
    named: list[str] = []
    for source in sources:
        folder = Path(source).expanduser()
        if folder.is_dir():
            named += _files_below(folder, tally)
            continue
        with open_rows(source, is_wanted=lambda _: True):  # raises for what cannot be opened, before hours of work
            named.append(str(source))
    files = [name for name in named if name.startswith("hf:") or Path(name).expanduser().stat().st_size]
    tally["empty_files"] = len(named) - len(files)
    if not files:
        others = f"{tally['empty_files']} empty and {tally['ignored_files']} other files"
        raise DataError(
            f"{', '.join(map(str, sources)) or 'nothing named'}: no document to read ({others}); "
            f"a document ends in {', '.join(SUFFIXES)}, or one of these and .gz"
        )
    return files


def _files_below(folder: Path, tally: Counter[str]) -> list[str]:
    files = []
    for path in sorted(folder.rglob("*")):
        if not path.is_file() or any(part.startswith(".") for part in path.relative_to(folder).parts):
            continue
        if path.name.lower().removesuffix(".gz").endswith(SUFFIXES):
            files.append(str(path))
        else:
            tally["ignored_files"] += 1
    return files


def lines_of(source: str, column: str | None, *, skip_bad_rows: bool, tally: Counter[str]) -> Iterator[str]:
    """The lines of every text of a source; "" ends a paragraph, as does the end of a text.

    Tallied are ``documents`` (a `.txt` file is one, else each row), ``empty_documents`` and ``bad_rows``.
    """
    columns = None if column is None else [column]
    with open_rows(source, is_wanted=wanted_names(columns), skip_bad_rows=skip_bad_rows) as reading:
        if source.lower().removesuffix(".gz").endswith(".txt"):
            tally["documents"] += 1
            yield from _text_lines(reading)
        else:
            for document in reading.each(layout_of_text(reading, DOCUMENTS, columns, None), _text):
                tally["documents"] += 1
                yield from document.split("\n")
                yield ""
            tally["empty_documents"] += reading.empty
        tally["bad_rows"] += len(reading.skipped)


def _text(cells: tuple[object, ...]) -> str | None:
    return text_of(cells[0]) or None


def _text_lines(reading: Reading) -> Iterator[str]:
    left_out = 0
    for line in reading.each(WHOLE_LINE, _text):
        if reading.empty + len(reading.skipped) != left_out:  # a blank line, or a bad one: do not join across it
            left_out = reading.empty + len(reading.skipped)
            yield ""
        yield line
