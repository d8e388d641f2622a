"""Suites of scored pairs: the seven STS tasks, KorSTS, KLUE-STS, and your own pairs."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np

from simcse_kit.data import read_scored_pairs
from simcse_kit.errors import DataError
from simcse_kit.evaluation.metrics import average_precision, best_threshold
from simcse_kit.evaluation.results import Outcome, SuiteResult
from simcse_kit.evaluation.sts import KLUE_STS, TOP, load_klue_sts, load_korsts, load_sts, load_sts_benchmark
from simcse_kit.evaluation.tasks import ScoredTask, Subset, TaskScores, measure
from simcse_kit.types import EncodeFn, ScoredPairs


def evaluate_sts(encode: EncodeFn, data_dir: str | Path) -> SuiteResult:
    """The seven STS tasks of SimCSE (Gao et al., 2021): Spearman over all pairs of a task, times 100, and ``avg``.

    Alignment and uniformity use STS-B train, dev and test together, with repeated sentences. `encode` is called once,
    with every distinct sentence once. For `data_dir` see `load_sts`.
    """
    start = time.perf_counter()
    tasks, spread = load_sts(data_dir), load_sts_benchmark(data_dir)
    measured = measure(encode, tasks, spread, scale=TOP)
    scores = {task.name: measured.whole(task.name).spearman for task in tasks}
    scores["avg"] = sum(scores.values()) / len(scores)
    return _result("sts", measured, scores, str(data_dir), start)


def evaluate_korsts(encode: EncodeFn, data_dir: str | Path) -> SuiteResult:
    """KorSTS test (Ham et al., 2020): Spearman times 100; alignment and uniformity over its three splits.

    For `data_dir` see `load_korsts`.
    """
    start = time.perf_counter()
    spread = load_korsts(data_dir)
    measured = measure(encode, [ScoredTask("KorSTS", (Subset("test", spread[-1]),))], spread, scale=TOP)
    return _result("korsts", measured, {"KorSTS": measured.whole("KorSTS").spearman}, str(data_dir), start)


def evaluate_klue_sts(encode: EncodeFn, data: str | Path = KLUE_STS) -> SuiteResult:
    """KLUE-STS, the validation set (Park et al., 2021): Spearman times 100; alignment and uniformity over it.

    `data` is the data set's name as in `read_scored_pairs`, or a local folder of it in the hub's layout.
    """
    start = time.perf_counter()
    pairs = load_klue_sts(data)
    measured = measure(encode, [ScoredTask("KLUE-STS", (Subset("validation", pairs),))], [pairs], scale=TOP)
    return _result("klue-sts", measured, {"KLUE-STS": measured.whole("KLUE-STS").spearman}, str(data), start)


def evaluate_pairs(encode: EncodeFn, pairs: ScoredPairs | str | Path) -> SuiteResult:
    """Your own scored pairs (or a file of them): Spearman and Pearson times 100, alignment and uniformity over them.

    A pair is positive above 80 % of the gold scale, which `simcse_kit.evaluation.metrics.scale_maximum` infers from the
    scores. If every gold score is 0 or 1, also gives average precision, and accuracy at the best cosine threshold; both
    times 100.
    """
    start = time.perf_counter()
    own = pairs if isinstance(pairs, ScoredPairs) else read_scored_pairs(Path(pairs))
    if not own.first:
        raise DataError(f"{own.source} holds no scored pairs")
    measured = measure(encode, [ScoredTask("pairs", (Subset("pairs", own),))], [own])
    whole = measured.whole("pairs")
    (outcome,) = measured.outcomes
    low, high = float(own.gold.min()), float(own.gold.max())
    if low < 0 or high > TOP:
        note = f"gold scores range from {low:g} to {high:g}, so {high:g} is taken as the top of the scale"
        measured = measured._replace(notes=(*measured.notes, note))
    both = tuple(outcome._replace(score=name, statistic=name) for name in ("spearman", "pearson"))
    scores = {"spearman": whole.spearman, "pearson": whole.pearson}
    if set(own.gold.tolist()) == {0.0, 1.0}:
        best = best_threshold(outcome.values, own.gold)
        right = ((outcome.values >= best) == (own.gold == 1)).astype(np.float64)
        scores |= {
            "average precision": 100 * average_precision(outcome.values, own.gold),
            "accuracy": 100 * right.mean(),
        }
        both += (Outcome("accuracy", "mean", right, texts=outcome.texts),)
        note = (
            f"best threshold: cosine of at least {best:.4f}, chosen on these pairs, so its accuracy is slightly "
            "optimistic"
        )
        measured = measured._replace(notes=(*measured.notes, note))
    return _result("pairs", measured._replace(outcomes=both), scores, own.source, start)


def _result(suite: str, measured: TaskScores, scores: dict[str, float], data: str, start: float) -> SuiteResult:
    return SuiteResult(
        suite=suite,
        scores=scores,
        alignment=measured.alignment,
        uniformity=measured.uniformity,
        details=measured.rows,
        seconds=time.perf_counter() - start,
        sentences=measured.sentences,
        data=data,
        notes=measured.notes,
        outcomes=measured.outcomes,
    )
