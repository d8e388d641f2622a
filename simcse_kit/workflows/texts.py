"""Texts to adapt to: short texts, documents of two parts, or labelled texts; read and checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from simcse_kit.data import LabelledTexts, TextData, read_sentences
from simcse_kit.data.frames import columns_of_table
from simcse_kit.data.id_column import find_id_column
from simcse_kit.data.structured import Structured, read_structured
from simcse_kit.errors import TrainingError, say_once
from simcse_kit.evaluation.judgements import text_id
from simcse_kit.objectives.supcon import SupCon
from simcse_kit.training.labelled import labelled_rows, read_classes

FEWEST = 50  # fewest distinct texts
GATED = 500  # from this many distinct texts on, some are held out for the gate
HELD_OUT_AT_MOST = 1000
_TWO_PARTS = 0.5  # share of documents with both parts from which on these are used
_TITLES = 0.2  # share of distinct short parts from which on they are titles
_SEED = 0  # seed of the held-out choice, the same for every seed of a run


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Distinct texts for search, and data about them."""

    source: str
    texts: list[str]  # to train on
    held_out: list[str]  # never used in training; empty below `GATED` texts
    labels: list[str] | None = None  # class of each of ``texts``
    held_out_labels: list[str] | None = None
    parts: list[tuple[str, str]] | None = None  # short and long part of those of ``texts`` that have both
    part_names: tuple[str, str] | None = None  # column names of the parts
    dropped: int = 0  # rows without text or class, or that repeat another
    column: str | None = None  # for a file: options that another command needs to find the texts; None: no options
    header: bool | None = None  # for a file: as given
    id_column: str | None = None  # for a file: column of ids, if it has one

    @property
    def count(self) -> int:
        """All distinct texts."""
        return len(self.texts) + len(self.held_out)


def read_texts(
    source: str | Path | Sequence[str] | TextData | LabelledTexts,
    *,
    label_column: str | None = None,
    text_column: str | None = None,
    columns: Sequence[str] | None = None,
    header: bool | None = None,
    skip_bad_rows: bool = False,
    queries: Iterable[str] = (),
) -> Texts:
    """Read and check texts; a tenth of them, at most `HELD_OUT_AT_MOST`, is held out.

    Leaves out texts that equal one of the ``queries`` that measure the result, with a notice of their number.

    Raises:
        DataError: the file cannot be read, or a column is missing.
        TrainingError: fewer than `FEWEST` distinct texts, or only one class.
    """
    apart = frozenset(map(text_id, queries))
    given = {"label_column": label_column, "text_column": text_column, "columns": columns, "header": header}
    found = _read(source, given | {"skip_bad_rows": skip_bad_rows}, apart)
    return replace(found, id_column=find_id_column(source, header)) if isinstance(source, str | Path) else found


def _read(
    source: str | Path | Sequence[str] | TextData | LabelledTexts, given: dict[str, Any], apart: Container[str]
) -> Texts:
    label_column, text_column, columns = given["label_column"], given["text_column"], given["columns"]
    if label_column is not None or isinstance(source, LabelledTexts):
        if not isinstance(source, str | Path | LabelledTexts) and columns_of_table(source) is None:
            raise TrainingError("labelled texts must come from a file, a table, or as LabelledTexts")
        return _labelled(read_classes(source, given), apart)
    if text_column is not None and columns is not None:
        raise TrainingError("text_column and columns both name the column of the texts; use one of them")
    wanted = columns if text_column is None else [text_column]
    if isinstance(source, TextData):
        return _plain(source, apart)
    structured = read_structured(source) if wanted is None else None
    if structured is not None and (said := _no_titles(structured)):
        say_once(said)
        wanted = [structured.names[1]]
    elif structured is not None:
        parts = dict(zip(structured.whole, zip(structured.short, structured.rest, strict=True), strict=True))
        rows = len(structured.short) + structured.empty
        texts, held_out = _split(list(parts), structured.source, apart)
        both = [parts[text] for text in texts if all(parts[text]) and text_id(parts[text][0]) not in apart]
        return Texts(
            source=structured.source,
            texts=texts,
            held_out=held_out,
            parts=both if len(both) >= _TWO_PARTS * len(texts) else None,
            part_names=structured.names,
            dropped=rows - len(parts),
            column=structured.names[1],
        )
    data = read_sentences(source, columns=wanted, header=given["header"], skip_bad_rows=given["skip_bad_rows"])
    return replace(_plain(data, apart), column=None if wanted is None else wanted[0], header=given["header"])


def _no_titles(found: Structured) -> str | None:
    """Why the short parts are not titles: a few values fill most rows, such as names of senders; else None."""
    (short, long), shorts = found.names, [short for short in found.short if short]
    if len(set(shorts)) >= _TITLES * len(shorts):
        return None
    return (
        f"{found.source}: column {short!r} has only {len(set(shorts)):,} different values in {len(shorts):,} "
        f"rows, so it is not a title; only column {long!r} is used. To use others: --columns"
    )


def _plain(data: TextData, apart: Container[str]) -> Texts:
    distinct = list(dict.fromkeys(data.column(0)))
    texts, held_out = _split(distinct, data.source, apart)
    rows = len(data) + data.empty + len(data.skipped)
    return Texts(source=data.source, texts=texts, held_out=held_out, dropped=rows - len(distinct))


def _labelled(found: LabelledTexts, apart: Container[str]) -> Texts:
    classes = dict(zip(found.texts, found.labels, strict=True))
    counts = Counter(text for text, _ in {*zip(found.texts, found.labels, strict=True)})
    if several := sum(count > 1 for count in counts.values()):
        say_once(f"{found.source}: {several:,} of the texts have more than one class; the last one is used")
    if len(set(classes.values())) < 2:
        raise TrainingError(
            f"{found.source}: all {len(classes)} texts have the class {next(iter(classes.values()))!r}; at "
            "least two classes are needed: leave out --label-column to adapt to the texts alone"
        )
    texts, held_out = _split(list(classes), found.source, apart)
    labels = [classes[text] for text in texts]
    labelled_rows(SupCon(), LabelledTexts(texts, labels, found.source), {})  # classes with one text: notice or error
    rows = len(found.texts) + found.without_text + found.without_label
    return Texts(
        source=found.source,
        texts=texts,
        held_out=held_out,
        labels=labels,
        held_out_labels=[classes[text] for text in held_out],
        dropped=rows - len(classes),
        column=found.column,
    )


def _split(every: list[str], source: str, apart: Container[str]) -> tuple[list[str], list[str]]:
    """Texts to train on and held-out texts, each in order, without those whose `text_id` is in ``apart``."""
    distinct = [text for text in every if text_id(text) not in apart]
    if len(distinct) < len(every):
        say_once(
            f"{len(every) - len(distinct):,} of the texts of {source} are judged queries, which measure the "
            "result: they are not used in training"
        )
    if len(distinct) < FEWEST:
        held = f"{len(distinct)} distinct texts" if len(distinct) != 1 else f"only one text, {distinct[0]!r:.60}"
        raise TrainingError(
            f"{source} holds {held}; adapting needs {FEWEST}, and {GATED} to check the result. Use the start "
            "model without adapting"
        )
    if len(distinct) < GATED:
        return distinct, []
    count = min(HELD_OUT_AT_MOST, len(distinct) // 10)
    chosen = set(np.random.default_rng(_SEED).choice(len(distinct), count, replace=False).tolist())
    return (
        [text for i, text in enumerate(distinct) if i not in chosen],
        [text for i, text in enumerate(distinct) if i in chosen],
    )
