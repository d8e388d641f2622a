"""Charts as SVG text, to be put into a page: mid tones on a transparent ground, readable on light and dark."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

BEFORE = "#9a9a9a"
AFTER = "#2f7fd1"
ACCENT = "#d9822b"
_TEXT = "#808080"
_STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.edgecolor": _TEXT,
    "axes.labelcolor": _TEXT,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": _TEXT,
    "xtick.color": _TEXT,
    "ytick.color": _TEXT,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "simcse-kit",  # equal data, equal file
    "figure.constrained_layout.use": True,
}


class Geometry(NamedTuple):
    """One point of the alignment-uniformity path; both are better when smaller (Wang & Isola, 2020)."""

    step: int
    alignment: float
    uniformity: float


class SpeedPoint(NamedTuple):
    """How fast a system encodes, and how well its vectors score."""

    name: str
    per_second: float  # sentences
    score: float  # seven-task average
    ours: bool


@contextmanager
def _figure(width: float, height: float, rows: int = 1) -> Iterator[tuple[Any, Any, list[str]]]:
    """A figure and its axes (without pyplot's global state); the drawn SVG is appended to the list."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(width, height))
        axes = figure.subplots(rows, 1, sharex=True)
        out: list[str] = []
        yield figure, axes, out
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
        text = buffer.getvalue()
        out.append(text[text.index("<svg") :])


def training_curve(losses: Sequence[tuple[int, float]], scores: Sequence[tuple[int, float]]) -> str:
    """Loss and Spearman x 100 against the step, on two axes."""
    from matplotlib.ticker import MaxNLocator

    with _figure(4.8, 3.2) as (_, axes, out):
        axes.plot(*zip(*losses, strict=True), color=BEFORE, linewidth=1.5, marker="o", markersize=3)
        axes.set(xlabel="step", ylabel="training loss (grey)")
        axes.set_ylim(bottom=0)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        if scores:
            right = axes.twinx()
            right.plot(*zip(*scores, strict=True), color=AFTER, marker="o", markersize=4, linewidth=1.5)
            right.set_ylabel("Spearman × 100 (blue)", color=AFTER)
            right.tick_params(axis="y", colors=AFTER)
            right.spines["right"].set_visible(True)
            right.spines["right"].set_color(AFTER)
            low, high = min(s for _, s in scores), max(s for _, s in scores)
            margin = max(0.5, 0.15 * (high - low))
            right.set_ylim(low - margin, high + margin)
    return out[0]


def geometry_path(path: Sequence[Geometry], *, best_step: int) -> str:
    """The alignment-uniformity plane with the run's way through it, start and best checkpoint named."""
    best = next(point for point in path if point.step == best_step)
    with _figure(4.8, 3.2) as (_, axes, out):
        x = [point.uniformity for point in path]
        y = [point.alignment for point in path]
        axes.plot(x, y, color=BEFORE, linewidth=1, zorder=1)
        axes.scatter(x, y, c=[AFTER] * len(path), s=22, zorder=2)
        axes.scatter(x[:1], y[:1], c=BEFORE, s=60, zorder=3)
        axes.scatter([best.uniformity], [best.alignment], c=ACCENT, s=60, zorder=3)
        for point, name, color in ((path[0], "start", _TEXT), (best, f"best: step {best.step}", ACCENT)):
            place = (point.uniformity, point.alignment)
            axes.annotate(name, place, xytext=(6, 6), textcoords="offset points", color=color)
        axes.margins(0.18)
        axes.set(xlabel="uniformity (further left is better)", ylabel="alignment (lower is better)")
    return out[0]


def similarity_by_gold(gold: NDArray[Any], before: NDArray[Any], after: NDArray[Any], *, top: float) -> str:
    """Cosines of sentence pairs, one row for each fifth of the gold scale: before (outline) and after (filled)."""
    bands = np.clip((gold / top * 5).astype(int), 0, 4)
    low = min(float(before.min()), float(after.min()), 0.0)
    bins = np.linspace(low, 1.0, 31)
    with _figure(9.6, 4.4, rows=5) as (_, axes, out):
        for band, axis in zip(range(4, -1, -1), axes, strict=True):
            chosen = bands == band
            if chosen.any():
                axis.hist(after[chosen], bins=bins, color=AFTER, alpha=0.75, label="after")
                axis.hist(before[chosen], bins=bins, histtype="step", color=_TEXT, linewidth=1.2, label="before")
                axis.axvline(float(np.median(after[chosen])), color=AFTER, linewidth=1, linestyle="--")
            name = f"gold {band * top / 5:g}–{(band + 1) * top / 5:g}\n{int(chosen.sum())} pairs"
            axis.set_ylabel(name, rotation=0, ha="right", va="center")
            axis.set_yticks([])
            axis.spines["left"].set_visible(False)
        axes[0].legend(loc="upper left", ncols=2)
        axes[-1].set_xlabel("cosine of the pair (dashed: median after training)")
    return out[0]


def speed_against_score(points: Sequence[SpeedPoint]) -> str:
    """Sentences a second against the seven-task average: ours in blue, sentence-transformers' in grey."""
    with _figure(9.6, 3.6) as (_, axes, out):
        low, high = min(point.score for point in points), max(point.score for point in points)
        margin = max(0.25, high - low)
        axes.set_ylim(low - margin, high + margin)
        axes.set_xlim(0, 1.15 * max(point.per_second for point in points))
        for i, point in enumerate(sorted(points, key=lambda point: point.per_second)):
            color = AFTER if point.ours else _TEXT
            axes.scatter([point.per_second], [point.score], c=color, s=60, zorder=2)
            axes.annotate(
                f"{point.name}\n{point.per_second:,.0f}/s",
                (point.per_second, point.score),
                xytext=(0, 12 if i % 2 else -12),
                textcoords="offset points",
                ha="center",
                va="bottom" if i % 2 else "top",
                color=color,
            )
        for name, color in (("simcse_kit", AFTER), ("sentence-transformers", _TEXT)):
            axes.scatter([], [], c=color, s=60, label=name)
        axes.legend(loc="upper left", ncols=2)
        axes.set(xlabel="sentences a second, 2 CPU cores", ylabel="STS, seven-task average")
    return out[0]
