"""Positives from labelled or scored pairs: the pairs with the highest label."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from simcse_kit.data.columns import wanted_names
from simcse_kit.data.reading import open_rows
from simcse_kit.data.scored import OWN_WIDTH, SCORED_PAIRS, layout_of_scores, pair_of
from simcse_kit.data.text import TextData
from simcse_kit.errors import DataError, say_once


def read_positives(
    source: str | Path | Sequence[Sequence[object]],
    *,
    columns: Sequence[str] | None = None,
    header: bool | None = None,
    skip_bad_rows: bool = False,
) -> TextData:
    """Read labelled pairs like `read_scored_pairs`, and keep those with the highest label: width 2.

    `columns` names both texts and the label; labels are numbers or bools. A notice counts the rows left out.

    Raises:
        DataError: a row cannot be used (with file and line), no row has a label, or the only label is 0 or less, so
            that it marks no positives.

    >>> read_positives([("A man sings.", "He sings.", "1"), ("It rains.", "A dog runs.", "0")]).rows
    [('A man sings.', 'He sings.')]
    """
    with open_rows(
        source, is_wanted=wanted_names(columns), skip_bad_rows=skip_bad_rows, tabs_for_cells=OWN_WIDTH
    ) as reading:
        pairs = reading.collect(layout_of_scores(reading, columns, header), _labelled_pair)
        if not pairs:
            raise reading.nothing_left(SCORED_PAIRS.what)
    labels = {label for *_, label in pairs}
    highest = max(labels)
    if len(labels) == 1 and highest <= 0:
        raise DataError(
            f"{reading.source}: all {len(pairs)} rows have the label {highest:g}, so the label marks no "
            "positives; to use every row as a positive, select the columns of both texts"
        )
    rows: list[tuple[str, ...]] = [(first, second) for first, second, label in pairs if label == highest]
    say_once(f"{reading.source}: kept {len(rows)} of {len(pairs)} rows, those with the highest label ({highest:g})")
    return TextData(rows=rows, source=reading.source, empty=reading.empty, skipped=tuple(reading.skipped))


def _labelled_pair(cells: tuple[object, ...]) -> tuple[str, str, float] | None:
    first, second, label = cells
    return pair_of((first, second, float(label) if isinstance(label, bool) else label))
