"""The charts of reports, each a `Picture`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.report.picture import NEUTRAL, Picture
from simcse_kit.tabular import rounded
from simcse_kit.wording import counted

AFTER = "#2f7fd1"
ACCENT = "#d9822b"
_COLORS = (AFTER, ACCENT, "#3f9a5f", "#a561c9", "#c9524f", "#8a7a3a", "#2aa0a8", "#c76fa0")
_BANDS = 5  # parts of the gold scale
_LOG_FROM = 30  # ratio of highest to lowest loss from which the axis is logarithmic


class GeometryStep(NamedTuple):
    """One point of the alignment-uniformity plane; smaller is better for both (Wang & Isola, 2020)."""

    step: int
    alignment: float
    uniformity: float


class Curve(NamedTuple):
    """Log of one run, by step."""

    name: str
    losses: Sequence[tuple[int, float]]
    scores: Sequence[tuple[int, float]]  # Spearman x 100


class GeometryPath(NamedTuple):
    """Path of one run through the plane."""

    name: str
    points: Sequence[GeometryStep]
    best_step: int


class GeometryPoint(NamedTuple):
    """A model in the plane."""

    name: str
    alignment: float
    uniformity: float


class SpeedPoint(NamedTuple):
    """How fast a system encodes, and its score."""

    name: str
    per_second: float  # sentences
    score: float
    color: str = AFTER


def color_of(names: Sequence[str], name: str) -> str:
    """The colour of one of several names, the same in every chart with these names."""
    return _COLORS[names.index(name) % len(_COLORS)]


def training_curves(curves: Sequence[Curve], names: Sequence[str] | None = None) -> Picture:
    """Loss (top) and Spearman x 100 (bottom) by step; ``names``: all names in the report, for colours."""
    from matplotlib.ticker import MaxNLocator

    own = list(dict.fromkeys(curve.name for curve in curves))
    names = own if names is None else names
    scored = any(curve.scores for curve in curves)

    def draw(figure: Any, axes: Any) -> None:
        panels = [axis for (axis,) in axes]
        for curve in curves:
            style = {"color": color_of(names, curve.name), "linewidth": 1.3, "markersize": 3}
            style["marker"] = "o" if len(curve.losses) < 40 else None
            if curve.losses:
                panels[0].plot(*zip(*curve.losses, strict=True), **style)
            if curve.scores:
                panels[1].plot(*zip(*curve.scores, strict=True), **style)
        panels[0].set_ylabel("training loss")
        losses = [loss for curve in curves for _, loss in curve.losses]
        if losses and 0 < _LOG_FROM * min(losses) < max(losses):
            panels[0].set_yscale("log")
        elif not losses or min(losses) >= 0:  # your own loss may be negative
            panels[0].set_ylim(bottom=0)
        if scored:
            panels[1].set_ylabel("Spearman × 100")
        panels[-1].set_xlabel("step")
        panels[-1].xaxis.set_major_locator(MaxNLocator(integer=True))
        _legend(figure, names, own)

    return Picture(draw, 4.8, 3.6, {"nrows": 1 + scored, "sharex": True, "squeeze": False})


def _legend(figure: Any, names: Sequence[str], own: Sequence[str]) -> None:
    """A legend above the chart with its own names, if the report has several."""
    from matplotlib.lines import Line2D

    if len(names) > 1:
        handles = [Line2D([], [], color=color_of(names, name), marker="o", label=name) for name in own]
        columns = 2 if max(map(len, own)) < 30 else 1
        figure.legend(handles=handles, loc="outside upper left", ncols=columns, fontsize=8)


def geometry_plane(
    paths: Sequence[GeometryPath],
    points: Sequence[GeometryPoint] = (),
    published: Sequence[GeometryPoint] = (),
    *,
    names: Sequence[str] | None = None,
) -> Picture:
    """The alignment-uniformity plane: paths of runs from start to best checkpoint; models; published ones in grey."""
    own = list(dict.fromkeys([*(path.name for path in paths), *(point.name for point in points)]))
    names = own if names is None else names

    def draw(figure: Any, axes: Any) -> None:
        labels: list[tuple[str, float, float, str]] = []
        for path in paths:
            color = color_of(names, path.name)
            start, best = path.points[0], next(point for point in path.points if point.step == path.best_step)
            at_best = ACCENT if len(names) == 1 else color
            places = [(point.uniformity, point.alignment) for point in path.points]
            axes.plot(
                *zip(*places, strict=True), color=color, linewidth=1, alpha=0.7, marker="o", markersize=3, zorder=1
            )
            axes.scatter(*places[0], facecolors="none", edgecolors=color, s=50, zorder=3)
            axes.scatter(best.uniformity, best.alignment, color=at_best, s=55, zorder=3)
            if len(names) == 1:
                if best is not start:
                    labels.append(("start", start.uniformity, start.alignment, NEUTRAL))
                name = f"best: step {best.step}" if best.step else "best: the start"
                labels.append((name, best.uniformity, best.alignment, ACCENT))
        for point in points:
            axes.scatter(point.uniformity, point.alignment, color=color_of(names, point.name), s=70, marker="D")
        for point in published:
            axes.scatter(point.uniformity, point.alignment, color=NEUTRAL, s=26, marker="s", zorder=2)
            labels.append((point.name, point.uniformity, point.alignment, NEUTRAL))
        for i, (text, x, y, color) in enumerate(sorted(labels, key=lambda label: label[1])):  # above and below in turn
            side = {"xytext": (0, -7), "va": "top"} if i % 2 else {"xytext": (0, 6), "va": "bottom"}
            axes.annotate(text, (x, y), textcoords="offset points", ha="center", color=color, fontsize=8, **side)
        axes.margins(0.2)
        axes.set(xlabel="uniformity (further left is better)", ylabel="alignment (lower is better)")
        _legend(figure, names, own)

    return Picture(draw, 4.8, 3.6)


def similarity_by_gold(gold: NDArray[Any], before: NDArray[Any], after: NDArray[Any], *, top: float) -> Picture:
    """Cosines of sentence pairs, one row per fifth of the gold scale: before (outline) and after (filled)."""
    bands = gold_bands(gold, top)
    low = min(float(before.min()), float(after.min()), 0.0)
    bins = np.linspace(low, 1.0, 31)

    def draw(_: Any, axes: Any) -> None:
        for band, axis in zip(range(_BANDS - 1, -1, -1), axes, strict=True):
            chosen = bands == band
            if chosen.any():
                axis.hist(after[chosen], bins=bins, color=AFTER, alpha=0.75, label="after")
                axis.hist(before[chosen], bins=bins, histtype="step", color=NEUTRAL, linewidth=1.2, label="before")
                axis.axvline(float(np.median(after[chosen])), color=AFTER, linewidth=1, linestyle="--")
            name = f"gold {_band_name(band, top)}\n{counted(int(chosen.sum()), 'pair')}"
            axis.set_ylabel(name, rotation=0, ha="right", va="center")
            axis.set_yticks([])
            axis.spines["left"].set_visible(False)
        axes[0].legend(loc="upper left", ncols=2)
        axes[-1].set_xlabel("cosine of the pair (dashed: median after training)")

    return Picture(draw, 9.6, 4.4, {"nrows": _BANDS, "sharex": True})


def query_changes(
    before: NDArray[Any], after: NDArray[Any], *, score: str, mean: float, low: float, high: float
) -> Picture:
    """Change of each of Q queries by training, largest loss first: bars of after - before, and the mean's interval.

    ``before``, ``after`` (Q,), ``mean`` and its interval ``low`` to ``high`` are scores out of 100.
    """
    changes = np.sort(np.asarray(after) - np.asarray(before))

    def draw(_: Any, axis: Any) -> None:
        colors = [AFTER if change > 0 else ACCENT for change in changes]
        axis.bar(np.arange(1, len(changes) + 1), changes, width=0.85, color=colors)
        axis.axhspan(low, high, color=NEUTRAL, alpha=0.25, linewidth=0)
        axis.axhline(mean, color=NEUTRAL, linewidth=1.2, linestyle="--")
        axis.axhline(0, color=NEUTRAL, linewidth=0.8)
        axis.set_ylabel(f"change of {score}")
        better, worse = int((changes > 0).sum()), int((changes < 0).sum())
        axis.set_xlabel(
            f"{counted(len(changes), 'query')}, sorted: {better} better, {worse} worse "
            f"(dashed: mean {rounded(mean, 1, signed=True)}; band: 95 % interval)"
        )
        axis.margins(x=0.01)

    return Picture(draw, 9.6, 3.2)


def gold_bands(gold: NDArray[Any], top: float) -> NDArray[Any]:
    """The fifth of the scale from 0 to `top` for each of N gold scores: (N,) -> (N,) of 0 to 4."""
    bands: NDArray[Any] = np.clip((gold / top * _BANDS).astype(int), 0, _BANDS - 1)
    return bands


def _band_name(band: int, top: float) -> str:
    return f"{band * top / _BANDS:g}–{(band + 1) * top / _BANDS:g}"


def similarity_against_gold(gold: NDArray[Any], cosines: NDArray[Any], *, top: float, color: str = AFTER) -> Picture:
    """Cosines of N pairs against gold: density (hexagons), and distribution in each fifth of the scale."""
    from matplotlib.colors import LinearSegmentedColormap, to_rgb

    shades = LinearSegmentedColormap.from_list("shades", [(*to_rgb(color), 0.10), (*to_rgb(color), 1.0)])
    low = min(float(cosines.min(initial=0.0)), 0.0)
    start = min(0.0, float(gold.min(initial=0.0)))
    bands = gold_bands(gold, top)
    bins = np.linspace(low, 1.0, 41)

    def draw(_: Any, axes: Any) -> None:
        left, right = axes
        shown = {"gridsize": (24, 18), "mincnt": 1, "bins": "log", "cmap": shades, "linewidths": 0.2}
        left.hexbin(gold, cosines, extent=(start, top, low, 1), **shown)
        left.set(xlabel="gold score", ylabel="cosine", xlim=(start - 0.03 * top, 1.03 * top), ylim=(low, 1.02))
        for band in range(_BANDS):
            chosen = cosines[bands == band]
            if len(chosen):
                heights, _ = np.histogram(chosen, bins=bins)
                right.barh(
                    bins[:-1],
                    0.85 * heights / heights.max(),
                    height=np.diff(bins),
                    left=band,
                    align="edge",
                    color=color,
                )
                right.plot([band, band + 0.85], [np.median(chosen)] * 2, color=NEUTRAL, linewidth=1)
        right.set_xticks(np.arange(_BANDS) + 0.4, [_band_name(band, top) for band in range(_BANDS)], fontsize=7)
        right.set_xlabel("by gold band (line: median)")
        right.tick_params(axis="y", left=False)
        right.spines["left"].set_visible(False)

    return Picture(draw, 4.8, 3.4, {"ncols": 2, "sharey": True, "width_ratios": [3, 2]})


def cosine_histograms(groups: Mapping[str, NDArray[Any]]) -> Picture:
    """Distribution of the cosines of several kinds of pairs, by name."""
    bins = np.linspace(min(float(cosines.min()) for cosines in groups.values()), 1.0, 61)
    names = list(groups)

    def draw(_: Any, axes: Any) -> None:
        for name, cosines in groups.items():
            color = color_of(names, name)
            shares = np.full(len(cosines), 1 / len(cosines))
            axes.hist(cosines, bins=bins, weights=shares, color=color, alpha=0.6, label=name)
            axes.axvline(float(np.median(cosines)), color=color, linewidth=1, linestyle="--")
        axes.set(xlabel="cosine of the two vectors (dashed: median)", ylabel="share of the pairs")
        axes.legend(loc="upper left")

    return Picture(draw, 9.6, 2.8)


def variance_spectrum(spectra: Mapping[str, Sequence[tuple[int, float]]]) -> Picture:
    """Share of the variance in the first n directions, by name; a slow rise means that more directions are used."""
    names = list(spectra)

    def draw(figure: Any, axes: Any) -> None:
        for name, points in spectra.items():
            axes.plot(*zip(*points, strict=True), color=color_of(names, name), marker="o", markersize=3, linewidth=1.4)
        axes.set_xscale("log")
        axes.set_ylim(0, 1.03)
        axes.set(xlabel="strongest directions", ylabel="share of the variance in them")
        _legend(figure, names, names)

    return Picture(draw, 4.8, 3.6)


def speed_against_score(
    points: Sequence[SpeedPoint], *, ylabel: str, machine: str, legend: Mapping[str, str]
) -> Picture:
    """Sentences per second against a score, each point with its name; ``legend`` names colours."""

    def draw(_: Any, axes: Any) -> None:
        _speed_axes(axes, points, ylabel, machine)
        for i, point in enumerate(sorted(points, key=lambda point: point.per_second)):
            axes.annotate(
                f"{point.name}\n{point.per_second:,.0f}/s",
                (point.per_second, point.score),
                xytext=(0, 12 if i % 2 else -12),
                textcoords="offset points",
                ha="center",
                va="bottom" if i % 2 else "top",
                color=point.color,
            )
        for name, color in legend.items():
            axes.scatter([], [], c=color, s=60, label=name)
        axes.legend(loc="upper left", ncols=2)

    return Picture(draw, 9.6, 3.6)


def speeds_of_models(points: Sequence[SpeedPoint], *, ylabel: str, machine: str) -> Picture:
    """The same for models that may overlap: names and speeds are listed beside the chart."""

    def draw(_: Any, axes: Any) -> None:
        _speed_axes(axes, points, ylabel, machine)
        for point in points:
            axes.scatter([], [], c=point.color, s=60, label=f"{point.name}: {point.per_second:,.0f}/s")
        axes.legend(loc="lower left", fontsize=8)

    return Picture(draw, 4.8, 3.6)


def _speed_axes(axes: Any, points: Sequence[SpeedPoint], ylabel: str, machine: str) -> None:
    low, high = min(point.score for point in points), max(point.score for point in points)
    margin = max(0.25, high - low)
    axes.set_ylim(low - margin, high + margin)
    axes.set_xlim(0, 1.15 * max(point.per_second for point in points))
    axes.set(xlabel=f"sentences per second, {machine}", ylabel=ylabel)
    for point in points:
        axes.scatter([point.per_second], [point.score], c=point.color, s=60, zorder=2)
