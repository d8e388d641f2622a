"""The pictures of a report."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from simcse_kit.evaluation.geometry import SpectrumRow
from simcse_kit.evaluation.metrics import scale_maximum
from simcse_kit.files import make_folder
from simcse_kit.report.charts import (
    Curve,
    GeometryPath,
    GeometryPoint,
    SpeedPoint,
    color_of,
    geometry_plane,
    similarity_against_gold,
    speeds_of_models,
    training_curves,
    variance_spectrum,
)
from simcse_kit.report.gather import Report
from simcse_kit.report.page import Figure
from simcse_kit.report.pairs import outcome_of, shown_pairs

PUBLISHED = (
    GeometryPoint("BERT, averaged (56.70)", 0.172, -1.468),
    GeometryPoint("unsup SimCSE, BERT (76.16)", 0.177, -2.313),
    GeometryPoint("DiffCSE, BERT (78.49)", 0.097, -1.438),
)
"""Values that Chuang et al. (2022), "DiffCSE", print for BERT-base on STS-B's test set, with the seven-task average.
SimCSE's own paper has such a plane for nine models (figure 3), but without numbers.
"""


def figures(report: Report) -> Iterator[Figure]:
    """Every chart for which the report has data."""
    for make in (training_figure, plane_figure):
        if figure := make(report):
            yield figure
    yield from similarity_figures(report)
    for make in (spectrum_figure, speed_figure):
        if figure := make(report):
            yield figure


def save_figures(report: Report, folder: str | Path) -> list[Path]:
    """Write each chart to a folder, as .svg and .pdf with black text; returns the paths of the PDF files."""
    place = Path(folder)
    make_folder(place)
    written = []
    for figure in figures(report):
        name = re.sub(r"[^\w-]+", "-", figure.title.lower()).strip("-")
        for ending in (".svg", ".pdf"):
            figure.picture.save(place / f"{name}{ending}")
        written.append(place / f"{name}.pdf")
    return written


def training_figure(report: Report) -> Figure | None:
    """Loss and score of the training runs by step; None without a run."""
    names = [model.name for model in report.models]
    curves = [Curve(model.name, log.losses, log.scores) for model in report.models for log in model.logs]
    if not any(curve.losses or curve.scores for curve in curves):
        return None
    return Figure(
        title="Training",
        picture=training_curves(curves, names),
        caption="The loss of a batch, and Spearman × 100 on the run's own evaluation data. Losses of different "
        "objectives or batch sizes are on different scales.",
    )


def similarity_figures(report: Report) -> Iterator[Figure]:
    """For each model, cosines of scored pairs against their gold scores; empty without scored pairs."""
    names = [model.name for model in report.models]
    shown = shown_pairs(report)
    for model in report.models if shown is not None else ():
        assert shown is not None
        outcome = outcome_of(model, shown)
        assert outcome.gold is not None
        yield Figure(
            title=f"Similarity against gold: {model.name}",
            picture=similarity_against_gold(
                outcome.gold,
                outcome.values,
                top=scale_maximum(outcome.gold),
                color=color_of(names, model.name),
            ),
            caption=f"{len(outcome.values):,} pairs of {shown.title}. The closer the points are to one rising line, "
            "and the less the bands overlap, the better the cosine measures similarity of meaning.",
        )


def spectrum_figure(report: Report) -> Figure | None:
    """The spectrum of each model's vectors; None if no suite measured it."""
    if not (spectra := _spectra(report)):
        return None
    return Figure(
        title="Spectrum",
        picture=variance_spectrum(spectra),
        caption="Share of the vectors' variance in their strongest directions: a curve that starts high means that the "
        "vectors lie in a narrow cone.",
    )


def speed_figure(report: Report) -> Figure | None:
    """Sentences per second against the main score; None if no speed was measured."""
    names = [model.name for model in report.models]
    suite, score = report.suites[0], report.main_score
    points = [
        SpeedPoint(model.name, model.sentences_per_second, model.mean(suite, score), color_of(names, model.name))
        for model in report.models
        if model.place != "endpoint"  # endpoints: speed includes the network
    ]
    points = [point for point in points if math.isfinite(point.per_second) and math.isfinite(point.score)]
    if not points:
        return None
    return Figure(
        title="Speed and quality",
        picture=speeds_of_models(points, ylabel=f"{suite}, {score}", machine=report.machine_name),
        caption="Sentences encoded per second during this evaluation, with tokenizing. Models that differ only in "
        "training are equally fast; differences between them are noise of the machine.",
    )


def _spectra(report: Report) -> dict[str, list[tuple[int, float]]]:
    """By model, the share of the variance in the first n directions; empty if no suite measured it."""
    spectra = {}
    for model in report.models:
        for results in model.results.values():
            rows = results[0].details
            if rows and all(isinstance(row, SpectrumRow) for row in rows):
                name = f"{model.name} (effective rank {results[0].scores['effective rank']:.0f})"
                spectra[name] = [(row.component, row.cumulative) for row in rows]
    return spectra


def plane_figure(report: Report) -> Figure | None:
    """The alignment-uniformity plane; None if no model has a place in it."""
    paths = [
        GeometryPath(model.name, log.geometry, log.saved_step)
        for model in report.models
        for log in model.logs
        if log.saved_step is not None and any(point.step == log.saved_step for point in log.geometry)
    ]
    points = []
    for model in report.models:
        for results in model.results.values():
            places = [(result.alignment, result.uniformity) for result in results]
            if all(None not in place and all(map(math.isfinite, place)) for place in places):  # type: ignore[arg-type]
                alignment, uniformity = np.mean(np.array(places, dtype=np.float64), axis=0)
                points.append(GeometryPoint(model.name, float(alignment), float(uniformity)))
                break
    if not paths and not points:
        return None
    return Figure(
        title="Alignment and uniformity",
        picture=geometry_plane(paths, points, PUBLISHED, names=[model.name for model in report.models]),
        caption="Diamonds: the models, on the data of this report. Lines: the runs on their own evaluation data, "
        "starting at the circle, with a dot at the saved model. Squares: BERT-base with its seven-task "
        "average, on STS-B's test set, from Chuang et al. (2022); SimCSE's paper draws such a plane without "
        "numbers. Lower and further left is better.",
    )
