"""Documents as a stream of lines; memory holds at most one line (or one row's text)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from simcse_kit.data.columns import layout_of_text, wanted_names
from simcse_kit.data.reading import Layout, Reading, open_rows
from simcse_kit.data.text import SENTENCES, text_of

DOCUMENTS = replace(SENTENCES, what="documents", advice="choose the column with --column (column=)")
WHOLE_LINE = Layout((0,), 1)


def document_lines(source: str, column: str | None, *, skip_bad_rows: bool, tally: Counter[str]) -> Iterator[str]:
    """Lines of every text of a source; "" ends a paragraph or a text.

    Counts ``documents`` (a `.txt` file, or each row of other files), ``empty_documents`` and ``bad_rows``.
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
        if reading.empty + len(reading.skipped) != left_out:  # a blank or bad line: do not join the lines around it
            left_out = reading.empty + len(reading.skipped)
            yield ""
        yield line
