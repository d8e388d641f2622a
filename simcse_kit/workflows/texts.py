"""What a user has to adapt to: short texts, documents of two parts, or texts with classes; read and checked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simcse_kit.data import LabelledTexts, TextData, read_labelled, read_sentences
from simcse_kit.data.structured import read_structured
from simcse_kit.errors import TrainingError

FEWEST = 50  # distinct texts
GATED = 500  # distinct texts, from which on a part can be held out for the gate
HELD_OUT_AT_MOST = 1000
_TWO_PARTS = 0.5  # share of the documents that have both parts, from which on these teach
_SEED = 0  # of what is held out: the same for every seed of a run


@dataclass(frozen=True, kw_only=True)
class Texts:
    """Distinct texts as they are searched, and what belongs to them."""

    source: str
    texts: list[str]  # to train on
    held_out: list[str]  # no training sees these; empty below `GATED` texts
    labels: list[str] | None = None  # of ``texts``
    held_out_labels: list[str] | None = None
    parts: list[tuple[str, str]] | None = None  # short and long part of those of ``texts`` that have both
    part_names: tuple[str, str] | None = None  # of the columns of the parts
    dropped: int = 0  # rows without text, without a class, or that repeat another

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
) -> Texts:
    """Read and check texts; a tenth of them, `HELD_OUT_AT_MOST` at most, is held out.

    Raises:
        DataError: the file cannot be read, or a column is missing.
        TrainingError: fewer than `FEWEST` distinct texts, or one class alone.
    """
    if label_column is not None or isinstance(source, LabelledTexts):
        if not isinstance(source, str | Path | LabelledTexts):
            raise TrainingError("texts with classes come from a file, or as LabelledTexts")
        label = label_column or "label"
        found = (
            source
            if isinstance(source, LabelledTexts)
            else read_labelled(source, label_column=label, text_column=text_column)
        )
        return _labelled(found)
    if isinstance(source, TextData):
        return _plain(source)
    structured = None if columns is not None or text_column is not None else read_structured(source)
    if structured is not None:
        parts = dict(zip(structured.whole, zip(structured.short, structured.rest, strict=True), strict=True))
        rows = len(structured.short) + structured.empty
        texts, held_out = _split(list(parts), structured.source)
        both = [parts[text] for text in texts if all(parts[text])]
        return Texts(
            source=structured.source,
            texts=texts,
            held_out=held_out,
            parts=both if len(both) >= _TWO_PARTS * len(texts) else None,
            part_names=structured.names,
            dropped=rows - len(parts),
        )
    wanted = [text_column] if text_column is not None else columns
    data = read_sentences(source, columns=wanted, header=header, skip_bad_rows=skip_bad_rows)
    return _plain(data)


def _plain(data: TextData) -> Texts:
    distinct = list(dict.fromkeys(data.column(0)))
    texts, held_out = _split(distinct, data.source)
    rows = len(data) + data.empty + len(data.skipped)
    return Texts(source=data.source, texts=texts, held_out=held_out, dropped=rows - len(distinct))


def _labelled(found: LabelledTexts) -> Texts:
    classes = dict(zip(found.texts, found.labels, strict=True))  # of a text with two classes, the last
    if len(set(classes.values())) < 2:
        raise TrainingError(
            f"{found.source}: all {len(classes)} texts are of the class {next(iter(classes.values()))!r}; classes "
            "teach by what differs: leave --label-column out to adapt to the texts alone"
        )
    texts, held_out = _split(list(classes), found.source)
    rows = len(found.texts) + found.without_text + found.without_label
    return Texts(
        source=found.source,
        texts=texts,
        held_out=held_out,
        labels=[classes[text] for text in texts],
        held_out_labels=[classes[text] for text in held_out],
        dropped=rows - len(classes),
    )


def _split(distinct: list[str], source: str) -> tuple[list[str], list[str]]:
    """Texts to train on and texts to look at, each in their order."""
    if len(distinct) < FEWEST:
        same = f" (all rows are {distinct[0]!r:.60})" if len(distinct) == 1 else ""
        raise TrainingError(
            f"{source} holds {len(distinct)} distinct texts{same}; adapting needs {FEWEST}, and {GATED} to check the "
            "result. Search with the start model as it is"
        )
    if len(distinct) < GATED:
        return distinct, []
    count = min(HELD_OUT_AT_MOST, len(distinct) // 10)
    chosen = set(np.random.default_rng(_SEED).choice(len(distinct), count, replace=False).tolist())
    return (
        [text for i, text in enumerate(distinct) if i not in chosen],
        [text for i, text in enumerate(distinct) if i in chosen],
    )
