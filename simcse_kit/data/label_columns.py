"""Finds label and score columns among pairs. They are not text, and not all their rows are positives."""

from __future__ import annotations

import re
from collections.abc import Sequence

from simcse_kit.data.rows import shown

_WORDS = {"gold", "score", "scores", "relevance", "relatedness", "rating", "quality", "judgment", "judgement"}
_WORDS |= {"entailment", "target", "class"}
_PARTS = re.compile(r"label|duplicate|paraphras|similar")
_NUMBER = re.compile(r"[-+]?(\d+([.,]\d*)?|[.,]\d+)(e[-+]?\d+)?%?", re.IGNORECASE)
_LOOKED_AT = 1000  # evenly spaced rows
_FEW_VALUES = 5  # values of a third column that may be a label, each at least `_REPEATED` times on average
_REPEATED = 4
_LONGEST_VALUE = 30  # characters
_LABELS = {"true", "false", "yes", "no", "y", "n", "t", "f", "positive", "negative", "entailment", "neutral"}
_LABELS |= {"contradiction", "not_entailment", "duplicate", "paraphrase", "similar", "different", "same", "equivalent"}
_LABELS |= {f"{no}{label}" for label in _LABELS for no in ("not ", "not_", "non-", "no_")}
"""Values that mean a label, however few rows there are."""


def is_label_name(name: str) -> bool:
    """Whether a case-folded column name means a label or a score.

    >>> [is_label_name(name) for name in ("is_duplicate", "gold_label", "score", "text", "negative")]
    [True, True, True, False, False]
    """
    return bool(_PARTS.search(name)) or not _WORDS.isdisjoint(re.split(r"[\W_]+", name))


def ways_on(names: Sequence[str] | None = None) -> str:
    """Advice for rows with a label. ``names``: columns of both texts and the label, if known."""
    pair, every = "", "leave the column out"
    if names is not None:
        pair, every = f" --columns {','.join(names)}", f"--columns {','.join(names[:2])}"
    return (
        f"--objective cosent{pair} learns from scored pairs; --positives-only{pair} keeps the rows with the "
        f"highest label; {every} to use every row as a positive"
    )


def fault_of_texts(rows: Sequence[tuple[str, ...]]) -> str | None:
    """The fault of pairs or triplets in which a column holds numbers, or the third has few values; else None."""
    sample = rows[:: max(1, len(rows) // _LOOKED_AT)]
    for place, column in enumerate(zip(*sample, strict=True), start=1):
        numbers = sum(_NUMBER.fullmatch(cell) is not None for cell in column)
        values = set(column)
        few = len(values) <= _FEW_VALUES and len(column) >= _REPEATED * max(2, len(values))
        few = few or {value.casefold() for value in values} <= _LABELS
        if 2 * numbers > len(column):
            found = f"column {place} of {len(sample[0])} holds numbers"
        elif place == 3 and few and max(map(len, values)) <= _LONGEST_VALUE:
            found = f"column 3 holds {len(values)} different values in {len(column)} rows"
        else:
            continue
        return (
            f"{found}: probably a label, a score or an id, not text to train on; the first row is "
            f"{shown(rows[0])}; {ways_on()}"
        )
    return None
