"""Judged queries that trained or selected a model: they do not count in its evaluation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simcse_kit.evaluation.bootstrap import weighted_statistic
from simcse_kit.evaluation.judgements import text_id, used_queries
from simcse_kit.evaluation.results import Outcome, SuiteResult


def without_used(result: SuiteResult, models: Iterable[str | Path]) -> SuiteResult:
    """A result without queries used to train or select one of the models; a note counts these.

    Scores without outcomes stay unchanged. If no query is left, the scores stay too, but outcomes are removed, so that
    no intervals or differences are computed.

    Args:
        result: of a suite whose items are queries, or pairs that start with one; other results are returned unchanged.
        models: all compared models, or their start models.
    """
    used = {str(model): used_queries(model) for model in models}
    names = {name for queries in used.values() for name in queries}
    asked = [outcome.texts[0] if outcome.texts else () for outcome in result.outcomes]
    if not names or not asked or any(list(column) != list(asked[0]) for column in asked):
        return result
    ids = [text_id(text) for text in asked[0]]
    kept = np.array([i for i, name in enumerate(ids) if name not in names], dtype=np.intp)
    if len(kept) == len(ids):
        return result
    who = ", ".join(model for model, queries in used.items() if not queries.keys().isdisjoint(ids))
    count = f"{len(ids) - len(kept):,} of {len(ids):,} queries were used to train or select {who}"
    if not len(kept):
        return replace(
            result, outcomes=(), notes=(*result.notes, f"{count}: its scores are too optimistic; judge other queries")
        )
    outcomes = tuple(_only(outcome, kept) for outcome in result.outcomes)
    even = np.ones((1, len(kept)))
    scores = {outcome.score: 100 * float(weighted_statistic(outcome, even)[0]) for outcome in outcomes}
    return replace(
        result,
        scores={**result.scores, **scores},
        outcomes=outcomes,
        notes=(*result.notes, f"{count}; they are left out"),
    )


def _only(outcome: Outcome, rows: NDArray[np.intp]) -> Outcome:
    return outcome._replace(
        values=outcome.values[rows],
        gold=None if outcome.gold is None else outcome.gold[rows],
        texts=tuple([column[i] for i in rows] for column in outcome.texts),
    )
