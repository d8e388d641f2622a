"""Gate against harm: whether a trained model probably searches worse than its start model, without labels.

The limits were set on 64 short runs of 16 methods from one start model on four domains of short texts, see
``eval/gate.py``; ``eval/README.md`` gives the rates with one domain left out. In a harmed model neighborhoods break up:
transitivity falls, or the halves of a text find each other less often without compensation. Too much smoothing shows in
texts that are no longer found after words are dropped. Passing means that none of these signs of harm shows, not that
search is better.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from simcse_kit.evaluation.bootstrap import Floats, Interval
from simcse_kit.evaluation.signs import SearchSigns

LEAST_KEPT: dict[tuple[str, ...], float] = {
    ("transitivity", "halves"): 0.95,
    ("transitivity",): 0.9,
    ("dropped",): 0.82,
}
"""The smallest share of the start model's sign, or of the product of signs, that a harmless model keeps."""
_RESAMPLES = 1000
_SEED = 0


class SignChange(NamedTuple):
    """A sign before and after training, and the 95 % interval of its change; all times 100."""

    name: str
    before: float
    after: float
    change: Interval

    @property
    def kept(self) -> float:
        """The share kept; 1 if there was nothing."""
        return self.after / self.before if self.before else 1.0


_WORDS = {
    "transitivity": "neighbor pairs of a text that are neighbors of each other",
    "dropped": "texts found after words are dropped",
    "halves": "second halves found by the first half",
}


class Gate(NamedTuple):
    """Change of the signs of harm by training."""

    changes: tuple[SignChange, ...]
    texts: int  # number of held-out texts measured

    @property
    def fallen(self) -> tuple[str, ...]:
        """The signs below their limit."""
        kept = {change.name: change.kept for change in self.changes}
        return tuple(dict.fromkeys(sign for signs in too_little(kept) for sign in signs))

    @property
    def passed(self) -> bool:
        """Whether the trained model may replace the start model."""
        return not self.fallen

    def line(self) -> str:
        """A sentence with the signs that fell, or with the first one."""
        named = self.fallen or next(iter(LEAST_KEPT))[:1]
        moved = "; ".join(
            f"{_WORDS[change.name]}: {change.before:.1f} % before, {change.after:.1f} % after"
            for change in self.changes
            if change.name in named
        )
        how = "passed" if self.passed else "failed: search would probably get worse"
        return f"{how} ({moved}; {self.texts:,} held-out texts)"


def too_little(kept: Mapping[str, float], least: Mapping[tuple[str, ...], float] = LEAST_KEPT) -> list[tuple[str, ...]]:
    """The limits violated by the shares that a model kept.

    >>> too_little({"transitivity": 0.95, "halves": 0.9, "dropped": 1.0})  # 0.95 x 0.9 is below 0.95
    [('transitivity', 'halves')]
    """
    return [signs for signs, limit in least.items() if math.prod(kept[sign] for sign in signs) < limit]


def gate(before: SearchSigns, after: SearchSigns) -> Gate:
    """Compare the signs of the start model and the trained model on the same n texts."""
    changes = tuple(
        SignChange(name, 100 * float(first.mean()), 100 * float(second.mean()), _interval(second - first))
        for name, first, second in zip(SearchSigns._fields, before, after, strict=True)
    )
    return Gate(changes, len(before.transitivity))


def _interval(changes: Floats) -> Interval:
    drawn = np.random.default_rng(_SEED).integers(len(changes), size=(_RESAMPLES, len(changes)))
    low, high = np.quantile(100 * changes[drawn].mean(1), [0.025, 0.975])
    return Interval(float(low), float(high))
