"""Result of an evaluation, the same type for every suite."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.tabular import Tabular
from simcse_kit.wording import counted

AVERAGE = "avg"
"""Name of the mean of a suite's other scores."""


class CorrelationRow(NamedTuple):
    """Correlations (times 100) of one subset of a task, or of a whole task.

    For a whole task, `subset` is `all` (one correlation over the pairs of all its subsets: the published setting),
    `mean` (mean over its subsets) or `wmean` (mean weighted by pairs).
    """

    task: str
    subset: str
    pairs: int  # scored pairs
    dropped: int  # pairs without a gold score
    spearman: float  # nan if a correlation is not defined
    pearson: float


class Outcome(NamedTuple):
    """Per-item values behind one score: input of a bootstrap, and for inspection.

    The score is 100 x `spearman` or `pearson` of values and gold, or 100 x the `mean` of the values.
    """

    score: str  # a key of `SuiteResult.scores`
    statistic: str  # spearman, pearson or mean
    values: NDArray[np.float64]  # (N,) cosines; or 1 and 0 for right and wrong; or nDCG per query
    gold: NDArray[np.float64] | None = None  # (N,); None for the statistic mean
    texts: tuple[Sequence[str], ...] = ()  # columns of N texts: both sentences of a pair, or one

    def __repr__(self) -> str:
        return f"Outcome({self.score!r}, {self.statistic!r}, {counted(len(self.values), 'item')})"


@dataclass(frozen=True, kw_only=True, repr=False)
class SuiteResult(Tabular):
    """Scores of one suite, at full precision; round when printing, never before averaging.

    `to_dataframe` has one row per score; ``pandas.DataFrame(result.details)`` is the detailed table. A suite must give
    ``scores``; `evaluate` adds ``suite`` and what is missing of ``seconds``, ``sentences`` and ``data``.
    """

    suite: str = ""
    scores: Mapping[str, float]  # times 100
    details: tuple[Any, ...] = ()  # named tuples, one per row of the detailed table
    seconds: float = math.nan  # for reading, encoding and scoring
    sentences: int = 0  # distinct sentences encoded
    data: str = ""  # folder or file as the caller named it
    alignment: float | None = None  # None if the suite has none; nan if no pair is positive, see `notes`
    uniformity: float | None = None
    notes: tuple[str, ...] = ()
    outcomes: tuple[Outcome, ...] = ()  # one per score except the average

    def __repr__(self) -> str:
        scores = ", ".join(f"{name}={score:.2f}" for name, score in self.scores.items())
        return f"SuiteResult({self.suite!r}, {scores})"

    def _records(self) -> Iterator[dict[str, Any]]:
        yield from ({"suite": self.suite, "score": name, "value": score} for name, score in self.scores.items())

    def _caption(self) -> str:
        return f"{self.suite}: {counted(self.sentences, 'sentence')} of {self.data}, {self.seconds:.0f} s"

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


def _plain(value: float | str | None) -> float | str | None:
    if value is None or isinstance(value, str | int):
        return value
    return float(value) if math.isfinite(value) else None
