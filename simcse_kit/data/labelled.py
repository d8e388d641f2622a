"""Labelled texts: one class per text, from two columns of a file."""

from __future__ import annotations

import math
from pathlib import Path
from typing import NamedTuple

from simcse_kit.data.columns import SINGLE_NAMES, by_given_names, example_row, find_sentence, folded
from simcse_kit.data.reading import Layout, Reading, open_rows
from simcse_kit.data.rows import RowProblem, shown
from simcse_kit.data.text import text_of
from simcse_kit.errors import DataError
from simcse_kit.wording import counted

LABELLED = "labelled texts"  # for the errors


class LabelledTexts(NamedTuple):
    """N texts, each with the name of its class."""

    texts: list[str]
    labels: list[str]
    source: str  # the file or data set as the user named it
    without_text: int = 0  # rows left out, including blank rows
    without_label: int = 0  # rows left out that have a text
    column: str | None = None  # name of the text column


def read_labelled(source: str | Path, *, label_column: str = "label", text_column: str | None = None) -> LabelledTexts:
    """Read N texts and their classes from a file with named columns or ``hf:NAME[:split]``, as `read_sentences` does.

    The text column is the named one, else the only one named text, sentence, sent or sent0, else the only other column.
    A label is a string, a whole number or a bool; numbers become text. Rows without text or label are left out and
    counted.

    Raises:
        DataError: a column is missing (the error lists the columns and an example row), a row cannot be used (with file
            and line), or no row is left.
    """
    if text_column is None:
        wanted = None  # the only other column may have any name
    else:
        wanted = {*folded([text_column, label_column])}
        if len(wanted) < 2:
            raise DataError(f"text and label are the same column, {label_column!r}; name two columns")
    with open_rows(source, is_wanted=lambda name: wanted is None or name.strip().casefold() in wanted) as reading:
        try:
            column, layout = _layout(reading, label_column, text_column)
        except DataError as error:
            if example := example_row(source):
                example += "; name columns with --label-column and --text-column"
            raise DataError(f"{error}{example}") from None
        rows = reading.collect(layout, _labelled)
    kept = [(text, label) for text, label in rows if text and label]
    without_text = reading.empty + sum(not text for text, _ in rows)
    without_label = len(rows) + reading.empty - without_text - len(kept)
    if not kept:
        raise DataError(
            f"{reading.source} holds no {LABELLED}; left out {counted(without_text, 'row')} without a text and "
            f"{without_label} without a label"
        )
    return LabelledTexts(
        [text for text, _ in kept], [label for _, label in kept], reading.source, without_text, without_label, column
    )


def _layout(reading: Reading, label_column: str, text_column: str | None) -> tuple[str, Layout]:
    """Name of the text column, and positions of text and label."""
    (label,) = by_given_names(reading, [label_column], LABELLED).positions
    head = reading.head(LABELLED)
    names = [str(name).strip() for name in head.names or head.cells]
    if text_column is None:
        others = [name for place, name in enumerate(names) if place != label]
        found = find_sentence(folded(others)) or (range(1) if len(others) == 1 else ())
        if not found:
            raise reading.error(
                head.line,
                f"cannot find the text column: no column, or more than one, is named {', '.join(SINGLE_NAMES)}; "
                f"the columns are {', '.join(names)}",
            )
        text_column = others[found[0]]
    return text_column, by_given_names(reading, [text_column, label_column], LABELLED)


def _labelled(cells: tuple[object, ...]) -> tuple[str, str]:
    """Text and label; empty if missing."""
    text, label = cells
    return "" if text is None else text_of(text), _label(label)


def _label(cell: object) -> str:
    if cell is None or (isinstance(cell, float) and math.isnan(cell)):
        return ""
    if isinstance(cell, int) or (isinstance(cell, float) and cell.is_integer()):  # bool is an int
        return str(cell if isinstance(cell, bool) else int(cell))
    if isinstance(cell, str):
        return text_of(cell)
    raise RowProblem(f"expected a class label, a string or a whole number; found {shown(cell)}")
