"""Charts of a report for notebooks: each function draws one and returns its matplotlib Axes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from simcse_kit.errors import SimCSEKitError
from simcse_kit.evaluation import Outcome, SuiteResult, compare
from simcse_kit.evaluation.metrics import scale_maximum
from simcse_kit.report.charts import (
    Curve,
    query_changes,
    similarity_against_gold,
    similarity_by_gold,
    training_curves,
)
from simcse_kit.report.gather import Report, read_log
from simcse_kit.report.page import Figure
from simcse_kit.report.pictures import plane_figure, spectrum_figure, speed_figure
from simcse_kit.training.events import TrainResult


def plot_training(*runs: TrainResult | str | Path) -> Any:
    """Training loss, and Spearman x 100 if the run has evaluation data, by step.

    Args:
        runs: results of `train_unsup` and `train_sup`, or their folders; all go into one chart.

    Returns the Axes, or an array of two if there are scores.

    Raises:
        SimCSEKitError: a folder is not a training run, or the run has not ended.
    """
    curves = []
    for run in runs:
        folder = Path(run.output_dir if isinstance(run, TrainResult) else run)
        log = read_log(folder)
        if log is None:
            raise SimCSEKitError(f"{folder} is not a training run: run.json is missing")
        curves.append(Curve(folder.name, log.losses, log.scores))
    if not curves:
        raise SimCSEKitError("plot_training needs at least one run")
    axes = training_curves(curves).axes()
    return axes[0, 0] if len(axes) == 1 else axes[:, 0]


def plot_geometry(report: Report) -> Any:
    """Alignment and uniformity (Wang & Isola, 2020) of models, and the paths of training runs; returns the Axes.

    ``report`` is the result of `make_report`. Raises a `SimCSEKitError` if it has neither models nor runs to show.
    """
    return _axes(plane_figure(report), "alignment and uniformity; measure a suite with pairs, or the suite geometry")


def plot_spectrum(report: Report) -> Any:
    """Share of the variance in the first n directions, by model; returns the Axes.

    ``report`` is the result of `make_report`. Raises a `SimCSEKitError` if the suite geometry was not measured.
    """
    return _axes(spectrum_figure(report), "a spectrum; measure the suite geometry")


def plot_speed(report: Report) -> Any:
    """Sentences encoded per second against the main score, by model; returns the Axes.

    ``report`` is the result of `make_report`. Raises a `SimCSEKitError` if no model has a speed.
    """
    return _axes(speed_figure(report), "a speed")


def plot_similarity(result: SuiteResult, score: str | None = None) -> Any:
    """Cosines of scored pairs against their gold scores; returns an array of two Axes.

    Args:
        result: of a suite of scored pairs: sts, pairs, korsts, klue-sts.
        score: one of its tasks; None: the first.

    Raises:
        SimCSEKitError: the suite has no scored pairs, or no such task.
    """
    outcome = _outcome(result, score, gold=True)
    assert outcome.gold is not None
    return similarity_against_gold(outcome.gold, outcome.values, top=scale_maximum(outcome.gold)).axes()


def plot_similarity_change(before: SuiteResult, after: SuiteResult, score: str | None = None) -> Any:
    """Cosines of scored pairs of two models, one row per fifth of the gold scale; returns an array of five Axes.

    Arguments and errors as in `plot_similarity`; both results must be on the same data.
    """
    first, second = _both(before, after, score, gold=True)
    assert first.gold is not None
    return similarity_by_gold(first.gold, first.values, second.values, top=scale_maximum(first.gold)).axes()


def plot_changes(before: SuiteResult, after: SuiteResult, score: str | None = None) -> Any:
    """Change of each query or text between two models, sorted, with the mean and its 95 % interval.

    Args:
        before: of a suite whose scores are means: retrieval, labels, transfer.
        after: of another model, on the same data.
        score: a score; None: the first that is a mean.

    Returns the Axes.

    Raises:
        SimCSEKitError: unknown score, or results on different data.
    """
    first, second = _both(before, after, score, gold=False)
    (line,) = (line for line in compare([before], [after]) if line.score == first.score)
    low, high = line.interval
    values = (100 * first.values, 100 * second.values)
    return query_changes(*values, score=first.score, mean=line.difference, low=low, high=high).axes()


def _axes(figure: Figure | None, what: str) -> Any:
    if figure is None:
        raise SimCSEKitError(f"this report has no model with {what}")
    return figure.picture.axes()


def _both(before: SuiteResult, after: SuiteResult, score: str | None, *, gold: bool) -> Sequence[Outcome]:
    first = _outcome(before, score, gold=gold)
    second = _outcome(after, first.score, gold=gold)
    if len(first.values) != len(second.values) or before.suite != after.suite:
        raise SimCSEKitError(
            f"the results are on different data: {before.suite} with {len(first.values):,} items, {after.suite} "
            f"with {len(second.values):,}"
        )
    return first, second


def _outcome(result: SuiteResult, score: str | None, *, gold: bool) -> Outcome:
    """The outcome of a score: one with gold scores, or one that is a mean."""
    found = [one for one in result.outcomes if (one.gold is not None) == gold]
    chosen = found if score is None else [one for one in found if one.score == score]
    if not chosen:
        names = ", ".join(one.score for one in found)
        kind = "scored pairs" if gold else "a score that is a mean over queries or texts"
        raise SimCSEKitError(
            f"{result.suite} has no {kind} named {score!r}; it has {names}"
            if names
            else f"the suite {result.suite} has no {kind}"
        )
    return chosen[0]
