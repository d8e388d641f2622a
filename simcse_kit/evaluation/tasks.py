"""Tasks of scored pairs, and their measures in every suite."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.evaluation.encoding import Numbers, SentencePool
from simcse_kit.evaluation.metrics import (
    POSITIVES_ABOVE,
    alignment,
    cosine_pairs,
    pearson,
    positive_pairs,
    scale_maximum,
    spearman,
    uniformity,
)
from simcse_kit.evaluation.results import CorrelationRow, Outcome
from simcse_kit.types import EncodeFn, ScoredPairs, Vectors


class Subset(NamedTuple):
    """A named part of a task, such as `headlines` of STS16."""

    name: str
    pairs: ScoredPairs


class ScoredTask(NamedTuple):
    """One column of a result table."""

    name: str
    subsets: tuple[Subset, ...]


class TaskScores(NamedTuple):
    """Vectors from one call of `encode`, and what belongs to them."""

    rows: tuple[CorrelationRow, ...]
    alignment: float
    uniformity: float
    sentences: int  # distinct
    notes: tuple[str, ...]
    outcomes: tuple[Outcome, ...]  # per task, all its pairs

    def whole(self, task: str) -> CorrelationRow:
        """The `all` row of a task."""
        return next(row for row in self.rows if row.task == task and row.subset == "all")


class _Numbered(NamedTuple):
    first: Numbers  # (N,)
    second: Numbers  # (N,)
    gold: NDArray[np.float64]  # (N,)
    dropped: int


def measure(
    encode: EncodeFn, tasks: Sequence[ScoredTask], spread: Sequence[ScoredPairs], *, scale: float | None = None
) -> TaskScores:
    """Correlations of `tasks`; alignment and uniformity over all pairs of `spread`, with repetitions.

    `scale` is the top of the gold scale of `spread`; None: infer it from the scores.
    """
    pool = SentencePool()
    numbered = [(task.name, [(subset.name, _number(pool, subset.pairs)) for subset in task.subsets]) for task in tasks]
    everything = _join([_number(pool, pairs) for pairs in spread])
    vectors = pool.encode(encode)

    outcomes = tuple(
        _outcome(task, _join([pairs for _, pairs in subsets]), vectors)
        for task, (_, subsets) in zip(tasks, numbered, strict=True)
    )
    rows = tuple(
        row
        for (name, subsets), outcome in zip(numbered, outcomes, strict=True)
        for row in _task_rows(name, subsets, outcome)
    )
    top = scale_maximum(everything.gold) if scale is None else scale
    positive = positive_pairs(everything.gold, scale=top)
    notes: tuple[str, ...] = ()
    if any(row.subset == "all" and not np.isfinite(row.spearman) for row in rows):
        few = [row.task for row in rows if row.subset == "all" and row.pairs < 2]
        notes = (
            f"a correlation is not defined: {', '.join(few)} has fewer than two pairs"
            if few
            else "a correlation is not defined: all gold scores, or all similarities, are equal",
        )
    if not positive.any():
        notes += (f"alignment is not defined: no pair has a gold score above {POSITIVES_ABOVE * top:g}",)
    return TaskScores(
        rows=rows,
        alignment=alignment(vectors[everything.first[positive]], vectors[everything.second[positive]]),
        uniformity=uniformity(vectors[np.concatenate([everything.first, everything.second])]),
        sentences=len(pool),
        notes=notes,
        outcomes=outcomes,
    )


def _outcome(task: ScoredTask, pairs: _Numbered, vectors: Vectors) -> Outcome:
    texts = tuple(
        [text for subset in task.subsets for text in getattr(subset.pairs, side)] for side in ("first", "second")
    )
    cosines = cosine_pairs(vectors[pairs.first], vectors[pairs.second])  # (N,)
    return Outcome(task.name, "spearman", cosines, pairs.gold, texts)


def _number(pool: SentencePool, pairs: ScoredPairs) -> _Numbered:
    return _Numbered(pool.add(pairs.first), pool.add(pairs.second), pairs.gold, pairs.dropped)


def _join(parts: Sequence[_Numbered]) -> _Numbered:
    return _Numbered(
        np.concatenate([part.first for part in parts]),
        np.concatenate([part.second for part in parts]),
        np.concatenate([part.gold for part in parts]),
        sum(part.dropped for part in parts),
    )


def _task_rows(task: str, subsets: Sequence[tuple[str, _Numbered]], outcome: Outcome) -> list[CorrelationRow]:
    ends = np.cumsum([len(pairs.gold) for _, pairs in subsets])
    cosines = np.split(outcome.values, ends[:-1])  # the outcome joins the pairs of all subsets
    parts = [
        _row(task, name, own, pairs.gold, pairs.dropped) for (name, pairs), own in zip(subsets, cosines, strict=True)
    ]
    assert outcome.gold is not None
    whole = _row(task, "all", outcome.values, outcome.gold, sum(pairs.dropped for _, pairs in subsets))
    table = np.array([(row.spearman, row.pearson) for row in parts])  # (subsets, 2)
    weights = np.array([row.pairs for row in parts], dtype=np.float64) / max(whole.pairs, 1)  # (subsets,)
    mean, weighted = table.mean(axis=0), weights @ table  # (2,), (2,)
    return [
        *parts,
        whole,
        whole._replace(subset="mean", spearman=float(mean[0]), pearson=float(mean[1])),
        whole._replace(subset="wmean", spearman=float(weighted[0]), pearson=float(weighted[1])),
    ]


def _row(
    task: str, subset: str, cosines: NDArray[np.float64], gold: NDArray[np.float64], dropped: int
) -> CorrelationRow:
    return CorrelationRow(
        task=task,
        subset=subset,
        pairs=len(cosines),
        dropped=dropped,
        spearman=100 * spearman(cosines, gold),
        pearson=100 * pearson(cosines, gold),
    )
