"""Which of two judged systems is better: one paired difference per query, with an interval valid at every look."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from typing import Literal, NamedTuple

import numpy as np

from simcse_kit.evaluation.bootstrap import Difference, Interval
from simcse_kit.evaluation.judgements import JudgedQuery, Judgements
from simcse_kit.evaluation.retrieval import ndcg
from simcse_kit.evaluation.sequential import further_needed, mean_interval
from simcse_kit.tabular import rounded
from simcse_kit.wording import counted

_FEW = 5  # queries; with fewer, no forecast


class Verdict(NamedTuple):
    """The verdict so far."""

    names: tuple[str, str]
    difference: Difference  # in nDCG over the hits of both; the interval is valid at every look
    shares: tuple[float, float]  # relevant hits of each system, percent; nan without queries
    queries: int  # queries that count
    unanswered: int  # queries without a relevant hit in either system, which do not count
    used: int  # queries used to train or select a model, which do not count
    skipped: int
    unjudged: int  # hits of skipped queries
    further: int | None  # queries needed to decide, if like those so far; None: too few for a forecast, or too many

    @property
    def decided(self) -> bool:
        """Whether the interval of the difference excludes 0."""
        return not self.difference.interval.low <= 0 <= self.difference.interval.high

    def lines(self) -> list[str]:
        """Lines of text, the same in the terminal and on the page."""
        (first, second), (low, high) = self.names, self.difference.interval
        said = []
        if self.queries:
            score, gap = self.difference.score, self.difference.difference
            said.append(
                f"{score} × 100: {first} {self.difference.first:.1f}, {second} {self.difference.second:.1f}; "
                f"difference {rounded(gap, 1, signed=True)}, 95 % interval {rounded(low, 1, signed=True)} to "
                f"{rounded(high, 1, signed=True)}"
            )
            said.append(f"relevant hits: {first} {self.shares[0]:.0f} %, {second} {self.shares[1]:.0f} %")
        said.append(self._words())
        said.append(self._counts())
        return said

    def _words(self) -> str:
        if self.decided:
            better = self.names[self.difference.difference > 0]
            return f"{better} is better"
        if self.further is not None:
            about = float(f"{self.further:.2g}")  # this is a forecast
            return f"no clear difference yet; about {about:,.0f} more queries like these would decide"
        if self.queries < _FEW:
            return "no clear difference yet; too few queries for a forecast"
        return "no clear difference yet; at this rate, a decision would need more queries than anyone can judge"

    def _counts(self) -> str:
        parts = [f"{self.queries:,} {'query' if self.queries == 1 else 'queries'} judged"]
        if self.unanswered:
            parts.append(f"{self.unanswered:,} more without a relevant hit in either, left out")
        if self.used:
            parts.append(f"{self.used:,} more used in training or selection, left out")
        if self.skipped:
            parts.append(f"{self.skipped:,} skipped ({counted(self.unjudged, 'hit')} unjudged)")
        return ", ".join(parts)


def verdict_of(judgements: Judgements, used: Container[str] = frozenset()) -> Verdict:
    """The verdict over the judged queries.

    For each query, the gain of a relevant hit is 1, and the ideal order has all relevant hits of both systems first.
    The difference of the two nDCG is in [-1, 1]. Its interval is `mean_interval`.

    Args:
        judgements: the judgements of a folder.
        used: ids of queries, by `text_id`, used to train or select one of the models.
    """
    about, queries = judgements
    judged = [query for query in queries.values() if query.state == "judged"]
    skipped = [query for query in queries.values() if query.state == "skipped"]
    unused = [query for query in judged if query.id not in used]
    counted = [query for query in unused if query.relevant]
    scores = np.array(
        [
            [ndcg(hits, dict.fromkeys(query.relevant, 1.0), about.hits) for hits in (query.first, query.second)]
            for query in counted
        ]
    ).reshape(-1, 2)  # (Q, 2)
    gaps = scores[:, 1] - scores[:, 0]  # (Q,)
    low, high = mean_interval(gaps)
    means = scores.mean(0) if counted else np.full(2, math.nan)
    return Verdict(
        names=(about.systems[0].name, about.systems[1].name),
        difference=Difference(
            score=f"nDCG@{about.hits}",
            first=100 * float(means[0]),
            second=100 * float(means[1]),
            interval=Interval(100 * low, 100 * high),
            spreads=(math.nan, math.nan),
        ),
        shares=(_share(counted, "first"), _share(counted, "second")),
        queries=len(counted),
        unanswered=len(unused) - len(counted),
        used=len(judged) - len(unused),
        skipped=len(skipped),
        unjudged=sum(len(query.pool) for query in skipped),
        further=further_needed(gaps) if len(counted) >= _FEW else None,
    )


def _share(queries: Sequence[JudgedQuery], side: Literal["first", "second"]) -> float:
    hits = [name in query.relevant for query in queries for name in getattr(query, side)]
    return 100 * sum(hits) / len(hits) if hits else math.nan
