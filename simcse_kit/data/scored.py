"""Sentence pairs with a gold similarity, in the layouts of public data sets or your own."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from simcse_kit.data.columns import (
    Wanted,
    by_given_names,
    by_known_names,
    check_columns,
    example_row,
    find_scored,
    wanted_names,
)
from simcse_kit.data.judged import QRELS, read_judged_pairs
from simcse_kit.data.reading import Layout, Reading, open_rows
from simcse_kit.data.rows import Row, RowProblem, shown
from simcse_kit.data.text import text_of
from simcse_kit.types import ScoredPairs

STSB_WIDTH = 7  # genre, file, year, id, score, sentence 1, sentence 2; some rows add licence names
STSB_CELLS = (5, 6, 4)
OWN_WIDTH = 3
LAYOUTS = (
    "sentence1, sentence2, score (or text1, text2; sentence_A, sentence_B; question1, question2; gold, label, "
    "similarity, is_duplicate) in a header, three columns with the score last or first, or the 7 columns of the STS "
    "Benchmark"
)

SCORED_PAIRS = Wanted(
    what="scored pairs",
    widths=(3,),
    find=find_scored,
    known=LAYOUTS,
    advice="or name the columns with --columns first,second,score, or rename them",
)


class KnownLayout(NamedTuple):
    """Position of the pairs in a public data set, whatever its header."""

    width: int
    cells: tuple[int, int, int]  # first sentence, second sentence, gold score


SICK = KnownLayout(5, (1, 2, 3))  # pair_ID, sentence_A, sentence_B, relatedness_score, entailment_judgment


def read_scored_pairs(
    source: str | Path | Sequence[Sequence[object]],
    *,
    columns: Sequence[str] | None = None,
    header: bool | None = None,
    known: KnownLayout | None = None,
) -> ScoredPairs:
    """Read N sentence pairs and their gold scores, (N,) float64, on the scale of the source.

    Accepts the STS Benchmark (tab-separated although named `.csv`, no header), KorSTS, SICK (`.txt`), and your own
    files in every format of `read_sentences`. Columns: sentence1, sentence2, score (also text1, text2; sentence_A,
    sentence_B; gold, label, similarity, relatedness_score, similarity_score), or those that `columns` names in this
    order. A `.csv` or `.tsv` file without header has three columns, with the score last or first (last if both are
    numbers in the first row). A file of the ``known`` data set with another header, such as a translated one, or none,
    is read by position if it has as many columns.

    A folder in BEIR's layout, such as `simcse_kit.judge` writes, gives one pair per judged query and text. Tuples and
    tables of pandas, polars or Arrow are read like files.

    Drops and counts blank rows and pairs without a gold score. Raises `DataError`, with file and line, for a score that
    is not a finite number, an empty sentence and a row of another width; also if no pair is left.
    """
    if isinstance(source, str | Path) and (Path(source) / QRELS).is_file():
        return read_judged_pairs(source)
    with open_rows(source, is_wanted=wanted_names(columns), tabs_for_cells=OWN_WIDTH) as reading:
        pairs = reading.collect(layout_of_scores(reading, columns, header, known), pair_of)
        if not pairs:
            raise reading.nothing_left(SCORED_PAIRS.what)
        first, second, gold = zip(*pairs, strict=True)
        return ScoredPairs(list(first), list(second), np.array(gold, np.float64), reading.source, reading.empty)


def layout_of_scores(
    reading: Reading, columns: Sequence[str] | None, header: bool | None, known: KnownLayout | None = None
) -> Layout:
    """Positions of first sentence, second sentence and score. Raises `DataError` if they are not clear."""
    check_columns(columns, header, SCORED_PAIRS.widths)
    if columns is not None:
        return by_given_names(reading, columns, SCORED_PAIRS.what)
    layout = by_known_names(reading, SCORED_PAIRS, header)
    if layout is None and known is not None:
        cells = reading.head(SCORED_PAIRS.what).cells
        if len(cells) == known.width:
            return Layout(known.cells, known.width, has_header=not _is_number(str(cells[known.cells[2]])))
    if layout is None and not header:
        layout = _by_position(reading.head(SCORED_PAIRS.what))
    if layout is None:
        head = reading.head(SCORED_PAIRS.what)
        raise reading.error(
            head.line,
            f"found {len(head.cells)} column(s): {shown(head.cells)}; needed: {LAYOUTS}; {SCORED_PAIRS.advice}"
            f"{example_row(reading.source)}",
        )
    return layout


def _by_position(head: Row) -> Layout | None:
    """Position of the score in a first row without names.

    >>> _by_position(Row(1, ("3.5", "A man sings.", "He sings."))).positions
    (1, 2, 0)
    """
    cells = [str(cell).strip() for cell in head.cells]
    if len(cells) >= STSB_WIDTH and (_is_number(cells[4]) or not cells[4]):
        return Layout(STSB_CELLS, STSB_WIDTH, more_allowed=True)
    if len(cells) != OWN_WIDTH:
        return None
    for holds_score in (_is_number, lambda cell: not cell):  # the first pair may have no score
        if holds_score(cells[2]):
            return Layout((0, 1, 2), OWN_WIDTH)
        if holds_score(cells[0]):
            return Layout((1, 2, 0), OWN_WIDTH)
    return None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def pair_of(cells: tuple[object, ...]) -> tuple[str, str, float] | None:
    """Both sentences and their score; None if there is no score."""
    score = cells[2]
    if score is None or (isinstance(score, str) and not score.strip()):
        return None
    first, second = text_of(cells[0]), text_of(cells[1])
    if not first or not second:
        raise RowProblem(f"a sentence is empty: {shown(cells)}")
    return first, second, _gold(score)


def _gold(cell: object) -> float:
    if isinstance(cell, bool) or not isinstance(cell, str | int | float):
        raise RowProblem(f"expected a number as gold score, found {shown(cell)}")
    try:
        gold = float(cell)
    except (ValueError, OverflowError):
        comma = isinstance(cell, str) and _is_number(cell.replace(",", "."))
        hint = "; write the decimal comma as a point" if comma else ""
        raise RowProblem(f"expected a number as gold score, found {shown(cell)}{hint}") from None
    if not math.isfinite(gold):
        raise RowProblem(f"the gold score must be finite, found {shown(cell)}")
    return gold
