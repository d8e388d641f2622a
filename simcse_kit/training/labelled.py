"""Labelled texts as training rows; drops and counts those without anything to learn from."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.data import LabelledTexts, TextData, read_labelled
from simcse_kit.errors import TrainingError, say_once
from simcse_kit.objectives import Objective
from simcse_kit.training.settings import TrainSettings
from simcse_kit.wording import counted

_NAMED = 5  # maximum number of classes in a notice
_READ_OTHERWISE = {"columns": None, "header": None, "skip_bad_rows": False}  # settings that do not apply here


class ClassRows(NamedTuple):
    """N texts to train on, each with the number of its class."""

    data: TextData
    labels: NDArray[np.int64]  # (N,) from 0 to C - 1
    whole: TextData  # every text and its class in two columns, for the run's record


def labelled_rows(objective: Objective, source: Any, given: TrainSettings) -> ClassRows:
    """Read a file or `LabelledTexts`, and drop rows that cannot be learned from, with a notice.

    Drops repeats of a text with its class, and classes with one text unless dropout twins are positives.

    Raises:
        DataError: a column is missing, or a row cannot be used.
        TrainingError: fewer than two classes are left, or an option does not apply to labelled texts.
    """
    read = read_classes(source, given)
    pairs = list(zip(read.texts, read.labels, strict=True))
    kept = list(dict.fromkeys(pairs))
    counts = Counter(label for _, label in kept)
    once = [label for label, count in counts.items() if count == 1]
    alone = set(once if len(objective.views(1)) == 1 else [])
    rows = [(text, label) for text, label in kept if label not in alone]
    numbers = {label: number for number, label in enumerate(dict.fromkeys(label for _, label in rows))}
    _check_classes(read.source, counts, numbers)
    _tell_once(read.source, once, left_out=bool(alone))
    _tell(read, repeats=len(pairs) - len(kept), several=len(rows) - len({text for text, _ in rows}))
    empty = read.without_text + read.without_label
    return ClassRows(
        TextData(rows=[(text,) for text, _ in rows], source=read.source, empty=empty),
        np.array([numbers[label] for _, label in rows], dtype=np.int64),
        TextData(rows=list(pairs), source=read.source),
    )


def read_classes(source: Any, given: TrainSettings) -> LabelledTexts:
    """Read a file or `LabelledTexts`; strips texts and labels and drops rows without text or label.

    Raises:
        DataError: a column is missing, or a row cannot be used.
        TrainingError: an option does not apply to labelled texts, or the numbers of texts and labels differ.
    """
    for name, plain in _READ_OTHERWISE.items():
        if given.get(name) not in (None, plain):
            raise TrainingError(
                f"{name} does not apply to labelled texts; name their columns with label_column and text_column"
            )
    column = given.get("label_column")
    if column == "":
        raise TrainingError("label_column (--label-column) is empty; give the name of the column of the classes")
    if not isinstance(source, LabelledTexts):
        return read_labelled(source, label_column=column or "label", text_column=given.get("text_column"))
    if column or given.get("text_column"):
        raise TrainingError("label_column and text_column are for files; LabelledTexts already contain classes")
    if len(source.texts) != len(source.labels):
        raise TrainingError(f"each text needs one label; got {len(source.labels)} labels for {len(source.texts)} texts")
    rows = [*zip(source.texts, source.labels, strict=True)]
    for cell in (cell for row in rows for cell in row if not isinstance(cell, str)):
        raise TrainingError(f"texts and labels must be strings; got {cell!r:.100}")
    stripped = [(text.strip(), label.strip()) for text, label in rows]
    kept = [row for row in stripped if all(row)]
    blank = sum(not text for text, _ in stripped)
    return LabelledTexts(
        [text for text, _ in kept],
        [label for _, label in kept],
        source.source,
        source.without_text + blank,
        source.without_label + len(rows) - len(kept) - blank,
    )


def _check_classes(source: str, counts: Counter[str], kept: dict[str, int]) -> None:
    """Check that there are two classes with at least two different texts each."""
    if len(kept) > 1:
        return
    if len(counts) == 1:
        raise TrainingError(
            f"{source}: all texts have the class {next(iter(counts))!r:.100}; training needs at least two classes"
        )
    raise TrainingError(
        f"{source}: only {len(kept)} of {len(counts)} classes have two different texts, such as "
        f"{', '.join(f'{label!r:.40}' for label in list(counts)[:3])}; at least two classes need that. Is it "
        "the right label column?"
    )


def _tell_once(source: str, once: list[str], *, left_out: bool) -> None:
    """Give a notice about classes with a single text, and what happens to it."""
    if not once:
        return
    names = ", ".join(f"{label!r:.40}" for label in once[:_NAMED]) + (", ..." if len(once) > _NAMED else "")
    what = "a class with one text has" if len(once) == 1 else f"{len(once)} classes with one text each have"
    kept = "dropped (--dropout-views keeps them)" if left_out else "their own dropout twins serve as positives"
    say_once(f"{source}: {what} no pairs to learn from ({names}): {kept}")


def _tell(read: LabelledTexts, *, repeats: int, several: int) -> None:
    found = {
        f"{counted(read.without_label, 'text')} without a class": read.without_label,
        f"{repeats} repeats of a text with its class": repeats,
    }
    left_out = ", ".join(text for text, count in found.items() if count)
    if left_out:
        say_once(f"{read.source}: left out {left_out}")
    if several:
        say_once(f"{read.source}: {several} rows give a text a second class; the text counts in both classes")
