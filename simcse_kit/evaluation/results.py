"""What an evaluation gives back, one type for every suite."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple


class Row(NamedTuple):
    """Correlations (times 100) of one subset of a task, or of a whole task.

    For a whole task, `subset` is `all` (one correlation over the pairs of all its subsets: the published setting),
    `mean` (mean over its subsets) or `wmean` (the same, weighted by pairs).
    """

    task: str
    subset: str
    pairs: int  # scored pairs
    dropped: int  # pairs without a gold score
    spearman: float  # nan where a correlation is not defined
    pearson: float


@dataclass(frozen=True, kw_only=True)
class SuiteResult:
    """Scores of one suite, at full precision; round when printing, never before averaging."""

    suite: str
    scores: Mapping[str, float]  # times 100
    alignment: float  # nan where no pair is positive; `notes` says so
    uniformity: float
    details: tuple[Row, ...]
    seconds: float  # reading, encoding and scoring together
    sentences: int  # distinct sentences encoded
    data: str  # the folder or file, as the caller named it
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, object]:
        """Plain JSON types only; nan becomes None."""
        return {
            "suite": self.suite,
            "scores": {name: _plain(score) for name, score in self.scores.items()},
            "alignment": _plain(self.alignment),
            "uniformity": _plain(self.uniformity),
            "details": [{name: _plain(value) for name, value in row._asdict().items()} for row in self.details],
            "seconds": _plain(self.seconds),
            "sentences": self.sentences,
            "data": self.data,
            "notes": list(self.notes),
        }


def _plain(value: float | str) -> float | str | None:
    if isinstance(value, str | int):
        return value
    return float(value) if math.isfinite(value) else None
