"""A gate against harm: whether a trained model is likely to search worse than its start model, told without labels.

The limit was set on runs whose P@10 is known, see ``eval/gate.py`` and ``eval/results/gate.json``. Of four runs of
plain SimCSE three lost 3 to 8 points and kept 79 to 85 % of the start's transitivity; one lost nothing and kept 87 %.
That is little data. Too much smoothing does not show at all. Passing says that no harm of these kinds shows, not that
search is better.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from simcse_kit.evaluation.bootstrap import Floats, Interval
from simcse_kit.evaluation.signs import SearchSigns

LEAST_KEPT = {"transitivity": 0.95, "dropped": 0.82}  # shares of the start model's
_RESAMPLES = 1000
_SEED = 0


class SignChange(NamedTuple):
    """A sign before and after training, and where its change lies with 95 % confidence; all times 100."""

    name: str
    before: float
    after: float
    change: Interval


_WORDS = {
    "transitivity": "pairs of a text's neighbours that are neighbours of each other: {before:.1f} % before, "
    "{after:.1f} % after",
    "dropped": "texts found with words left out, mean of 1 / rank: {before:.1f} % before, {after:.1f} % after",
}


class Gate(NamedTuple):
    """What training did to the signs of harm."""

    changes: tuple[SignChange, ...]
    texts: int  # held-out ones that the signs were measured on

    @property
    def fallen(self) -> tuple[SignChange, ...]:
        """The signs of which too little is left."""
        return tuple(
            change for change in self.changes if change.after < LEAST_KEPT.get(change.name, 0.0) * change.before
        )

    @property
    def passed(self) -> bool:
        """Whether the trained model may take the start model's place."""
        return not self.fallen

    def line(self) -> str:
        """In words, with the signs that fell, or all that could have."""
        shown = self.fallen or [change for change in self.changes if change.name in LEAST_KEPT]
        moved = "; ".join(_WORDS[change.name].format(before=change.before, after=change.after) for change in shown)
        how = "passed" if self.passed else "failed: search would probably be worse"
        return f"{how} ({moved}; {self.texts:,} held-out texts)"


def gate(before: SearchSigns, after: SearchSigns) -> Gate:
    """Compare the signs of the start model with those of the trained one, on the same n texts."""
    changes = tuple(
        SignChange(name, 100 * float(first.mean()), 100 * float(second.mean()), _interval(second - first))
        for name, first, second in zip(SearchSigns._fields, before, after, strict=True)
    )
    return Gate(changes, len(before.transitivity))


def _interval(changes: Floats) -> Interval:
    drawn = np.random.default_rng(_SEED).integers(len(changes), size=(_RESAMPLES, len(changes)))
    low, high = np.quantile(100 * changes[drawn].mean(1), [0.025, 0.975])
    return Interval(float(low), float(high))
