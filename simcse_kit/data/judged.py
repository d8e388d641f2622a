"""Judged queries in BEIR's layout (Thakur et al., 2021) as scored pairs: query, text and score."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np

from simcse_kit.data.columns import by_given_names, wanted_names
from simcse_kit.data.reading import open_rows
from simcse_kit.data.rows import RowProblem
from simcse_kit.errors import DataError, MissingColumnError
from simcse_kit.types import ScoredPairs

T = TypeVar("T")
QRELS = Path("qrels") / "test.tsv"


def read_judged_pairs(folder: str | Path) -> ScoredPairs:
    """One pair per line of the qrels, with its score. Lines whose text is not in the corpus are dropped and counted.

    Raises:
        DataError: a file is missing, a line cannot be used (with file and line), a query is unknown, or nothing is
            left.
    """
    root = Path(folder)
    queries = dict(_rows(root / "queries.jsonl", ("_id", "text"), _text))
    corpus = dict(_corpus(root / "corpus.jsonl"))
    judged = _rows(root / QRELS, ("query-id", "corpus-id", "score"), _judgement)
    unknown = next((query for query, _, _ in judged if query not in queries), None)
    if unknown is not None:
        raise DataError(f"{root / QRELS}: query {unknown!r:.100} is not in {root / 'queries.jsonl'}")
    known = [(queries[query], corpus[name], score) for query, name, score in judged if name in corpus]
    if not known:
        raise DataError(f"{root / QRELS}: none of the judged texts is in {root / 'corpus.jsonl'}")
    first, second, gold = zip(*known, strict=True)
    return ScoredPairs(list(first), list(second), np.array(gold, np.float64), str(folder), len(judged) - len(known))


def _rows(path: Path, columns: tuple[str, ...], convert: Callable[[tuple[object, ...]], T]) -> list[T]:
    with open_rows(path, is_wanted=wanted_names(columns)) as reading:
        found = reading.collect(by_given_names(reading, columns, "rows"), convert)
        if not found:
            raise reading.nothing_left("rows")
        return found


def _corpus(path: Path) -> list[tuple[str, str]]:
    """Texts with their ids; titles are optional."""
    try:
        return _rows(path, ("_id", "title", "text"), _document)
    except MissingColumnError:
        return _rows(path, ("_id", "text"), _text)


def _text(cells: tuple[object, ...]) -> tuple[str, str]:
    name, text = cells
    return str(name), str(text)


def _document(cells: tuple[object, ...]) -> tuple[str, str]:
    """The title comes before the text, as in BEIR."""
    name, title, text = cells
    return str(name), f"{title or ''} {text}".strip()


def _judgement(cells: tuple[object, ...]) -> tuple[str, str, float]:
    query, name, score = map(str, cells)
    try:
        return query, name, float(score)
    except ValueError:
        raise RowProblem(f"expected a number as score, found {score!r:.100}") from None
