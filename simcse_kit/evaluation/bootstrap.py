"""Intervals of scores and of their differences, by resampling the items of a test set.

Efron & Tibshirani (1993), "An introduction to the bootstrap", percentile intervals; paired, as in Koehn (2004),
"Statistical significance tests for machine translation evaluation": every draw takes the same items for both models.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.errors import SimCSEKitError
from simcse_kit.evaluation.results import AVERAGE, Outcome, SuiteResult
from simcse_kit.tabular import TabularList

RESAMPLES = 1000
LEVEL = 0.95
_AT_ONCE = 1 << 21  # numbers per chunk of work
Floats = NDArray[np.float64]


class Interval(NamedTuple):
    """95 % interval of a score, times 100; nan if it is not defined."""

    low: float
    high: float


class Difference(NamedTuple):
    """One score of two models, or of two recipes (means over several seeds)."""

    score: str
    first: float
    second: float
    interval: Interval  # 95 % interval of second - first
    spreads: tuple[float, float]  # standard deviation over the seeds of each; nan with one seed

    @property
    def difference(self) -> float:
        """second - first."""
        return self.second - self.first

    @property
    def verdict(self) -> str:
        """The second compared with the first; "better" or "worse" only if the interval excludes zero."""
        if self.interval.low > 0:
            return "better"
        return "worse" if self.interval.high < 0 else "no clear difference"


class Differences(TabularList[Difference]):
    """A `Difference` for each score."""

    def _records(self) -> Iterator[dict[str, Any]]:
        for line in self:
            yield {
                "score": line.score,
                "first": line.first,
                "second": line.second,
                "difference": line.difference,
                "low": line.interval.low,
                "high": line.interval.high,
                "verdict": line.verdict,
            }

    def _caption(self) -> str:
        return "low to high: 95 % interval of the difference (paired bootstrap)"


def intervals(*results: SuiteResult, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Interval]:
    """The interval of every score of a result that has outcomes, and of the average: score name to interval.

    For several results, one recipe under several seeds, the interval of the mean over them; seeds are resampled too,
    see `compare`.
    """
    _check_alike(results)
    random = np.random.default_rng(seed)
    drawn = _drawn(results, resamples, random)
    shares = _seeds_drawn(len(results), resamples, random)
    return {name: _interval((shares * values).sum(0)) for name, values in drawn.items()}


def compare(
    first: Sequence[SuiteResult], second: Sequence[SuiteResult], *, resamples: int = RESAMPLES, seed: int = 0
) -> Differences:
    """The differences of two models on one suite, one `Difference` per score.

    Args:
        first: the results of one model, or of one recipe under several seeds.
        second: the results to compare, on the same data.

    With several seeds, every draw resamples the seeds too, so the interval includes variation of items and seeds. With
    few seeds it is a little too narrow; `Difference.spreads` gives the standard deviations.

    Raises:
        SimCSEKitError: the results have different suites or items.
    """
    _check_alike([*first, *second])
    random = np.random.default_rng(seed)
    drawn = _drawn([*first, *second], resamples, random)
    sides = [_seeds_drawn(len(side), resamples, random) for side in (first, second)]
    table = Differences()
    for name, values in drawn.items():  # (models, R)
        own, other = values[: len(first)], values[len(first) :]
        gap = (sides[1] * other).sum(0) - (sides[0] * own).sum(0)  # (R,)
        scores = [np.array([result.scores[name] for result in side]) for side in (first, second)]
        spreads = tuple(float(side.std(ddof=1)) if len(side) > 1 else math.nan for side in scores)
        table.append(
            Difference(name, float(scores[0].mean()), float(scores[1].mean()), _interval(gap), (spreads[0], spreads[1]))
        )
    return table


def _check_alike(results: Sequence[SuiteResult]) -> None:
    if not results or any(result.suite != results[0].suite for result in results):
        raise SimCSEKitError("can only compare results of the same suite")
    for result in results[1:]:
        for outcome, own in zip(result.outcomes, results[0].outcomes, strict=False):
            same = (outcome.score, outcome.statistic) == (own.score, own.statistic)
            if not same or not _equal(outcome.gold, own.gold) or len(outcome.values) != len(own.values):
                raise SimCSEKitError(
                    f"{own.score}: the two results have different items; measure both on the same data"
                )
        if len(result.outcomes) != len(results[0].outcomes):
            raise SimCSEKitError(f"{result.suite}: the two results have different scores")


def _equal(one: Floats | None, other: Floats | None) -> bool:
    if one is None or other is None:
        return one is other
    return np.array_equal(one, other)


def _drawn(results: Sequence[SuiteResult], resamples: int, random: np.random.Generator) -> dict[str, Floats]:
    """Score name to its value in every draw, times 100: (models, R)."""
    tables: dict[str, Floats] = {}
    for outcomes in zip(*(result.outcomes for result in results), strict=True):
        tables[outcomes[0].score] = _redrawn(outcomes, resamples, random)
    if tables and AVERAGE in results[0].scores:
        tables[AVERAGE] = np.mean([tables[name] for name in tables], axis=0)
    return tables


def _redrawn(outcomes: Sequence[Outcome], resamples: int, random: np.random.Generator) -> Floats:
    """One score of M models over draws of the same N items: (M, R)."""
    items = len(outcomes[0].values)
    table = np.empty((len(outcomes), resamples))
    size = max(1, _AT_ONCE // max(items, 1))
    even = np.full(items, 1 / items) if items else np.empty(0)
    for start in range(0, resamples, size):
        count = min(size, resamples - start)
        weights = random.multinomial(items, even, size=count).astype(np.float64)  # (R', N)
        for row, outcome in enumerate(outcomes):
            table[row, start : start + count] = 100 * weighted_statistic(outcome, weights)
    return table


def weighted_statistic(outcome: Outcome, weights: Floats) -> Floats:
    """A statistic of items with frequencies: weights (R, N) -> (R,); nan if it is not defined.

    For whole numbers it is the statistic of the repeated items, with mean ranks for ties.
    """
    values = np.asarray(outcome.values, dtype=np.float64)
    total = weights.sum(1)
    if outcome.statistic == "mean":
        mean: Floats = weights @ values / total
        return mean
    gold = np.asarray(outcome.gold, dtype=np.float64)
    if outcome.statistic == "spearman":
        x, y = _weighted_ranks(values, weights), _weighted_ranks(gold, weights)  # (R, N)
    else:
        x, y = np.broadcast_to(values, weights.shape), np.broadcast_to(gold, weights.shape)
    x = x - ((weights * x).sum(1) / total)[:, None]
    y = y - ((weights * y).sum(1) / total)[:, None]
    both = (weights * x * y).sum(1)
    lengths = np.sqrt((weights * x * x).sum(1) * (weights * y * y).sum(1))
    correlation: Floats = np.divide(both, lengths, out=np.full_like(both, np.nan), where=lengths > 0)
    return correlation


def _weighted_ranks(values: Floats, weights: Floats) -> Floats:
    """Mean ranks of N values with frequencies: (N,), (R, N) -> (R, N)."""
    _, group = np.unique(values, return_inverse=True)
    order = np.argsort(group, kind="stable")
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    sums = np.add.reduceat(weights[:, order], starts, axis=1)  # (R, groups)
    ranks = np.cumsum(sums, axis=1) - (sums - 1) / 2
    return ranks[:, group]


def _seeds_drawn(seeds: int, resamples: int, random: np.random.Generator) -> Floats:
    """Shares of the seeds in every draw: (seeds, R)."""
    return random.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples).T / seeds


def _interval(values: Floats) -> Interval:
    defined = np.isfinite(values)
    if not len(values) or defined.mean() < LEVEL:  # a few draws of few items may contain a single item only
        return Interval(math.nan, math.nan)
    values = values[defined]
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(float(low), float(high))
