"""Pairs shown one by one in a report: the worst errors of each model."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from simcse_kit.evaluation import Outcome, similarity_error
from simcse_kit.report.gather import ModelReport, Report

_PREFERRED = "STSBenchmark"  # the task whose pairs are shown
_WORST = 5  # pairs per model with overestimated similarity, and as many with underestimated


class ShownPairs(NamedTuple):
    """The pairs for which a report shows each model's similarity."""

    title: str
    suite: str
    score: str


def shown_pairs(report: Report) -> ShownPairs | None:
    """The first scored pairs of the suites; from the seven tasks, STS-B's."""
    found = [
        ShownPairs(
            Path(results[0].data).name if report.parts[suite].takes_scored_pairs else outcome.score,
            suite,
            outcome.score,
        )
        for suite, results in report.models[0].results.items()
        for outcome in results[0].outcomes
        if outcome.gold is not None and len(outcome.texts) == 2 and np.ptp(outcome.gold) > 0
    ]
    return next((pairs for pairs in found if pairs.score == _PREFERRED), found[0] if found else None)


def outcome_of(model: ModelReport, pairs: ShownPairs) -> Outcome:
    return next(outcome for outcome in model.results[pairs.suite][0].outcomes if outcome.score == pairs.score)


class JudgedPair(NamedTuple):
    """A pair that a model ranks far from its gold score."""

    first: str
    second: str
    gold: float
    cosine: float
    error: float  # rank by cosine minus rank by gold, as a share of the pairs


def worst_pairs(model: ModelReport, pairs: ShownPairs) -> list[JudgedPair]:
    """The most overestimated pairs, worst first; then the most underestimated."""
    outcome = outcome_of(model, pairs)
    assert outcome.gold is not None
    error = similarity_error(outcome.values, outcome.gold)
    order = np.argsort(error, kind="stable")
    chosen = [*(i for i in order[: -_WORST - 1 : -1] if error[i] > 0), *(i for i in order[:_WORST] if error[i] < 0)]
    first, second = outcome.texts
    return [
        JudgedPair(first[i], second[i], float(outcome.gold[i]), float(outcome.values[i]), float(error[i]))
        for i in chosen
    ]
