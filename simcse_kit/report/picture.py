"""A chart that is drawn on demand: in a page, in a file for a paper, or in a notebook."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

NEUTRAL = "#808080"
_STYLE = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.edgecolor": NEUTRAL,
    "axes.labelcolor": NEUTRAL,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": NEUTRAL,
    "xtick.color": NEUTRAL,
    "ytick.color": NEUTRAL,
    "legend.frameon": False,
    "svg.fonttype": "path",
    "svg.hashsalt": "simcse-kit",  # equal data give an equal file
    "figure.constrained_layout.use": True,
}
_ON_PAPER = {
    **dict.fromkeys(("axes.edgecolor", "axes.labelcolor", "text.color", "xtick.color", "ytick.color"), "black"),
    "pdf.fonttype": 42,  # fonts as text that can be selected, as publishers require
}
FILES = (".svg", ".pdf", ".png")


class Picture(NamedTuple):
    """How to draw a chart, and its size."""

    draw: Callable[[Any, Any], None]  # draws on a matplotlib Figure and its Axes, one or an array
    width: float  # inches
    height: float
    grid: Mapping[str, Any] = {}  # arguments of `Figure.subplots`

    def svg(self) -> str:
        """The chart as an ``<svg>`` element: medium tones on a transparent background, for light and dark mode."""
        buffer = io.StringIO()
        self._save(buffer, _STYLE, format="svg", transparent=True)
        text = buffer.getvalue()
        return text[text.index("<svg") :]

    def save(self, path: str | Path) -> None:
        """Write the chart in a format of `FILES`, by the suffix of ``path``, with black text for white paper."""
        kind = Path(path).suffix[1:].lower()
        self._save(path, _STYLE | _ON_PAPER, format=kind, dpi=200)

    def axes(self) -> Any:
        """Draw in a pyplot figure, which a notebook shows; returns the matplotlib Axes, or an array of several."""
        import matplotlib.pyplot as plt

        figure = plt.figure(figsize=(self.width, self.height), layout="constrained")  # starts the notebook's backend
        with plt.rc_context(_STYLE):
            axes = figure.subplots(**self.grid)
            self.draw(figure, axes)
        return axes

    def _save(self, target: Any, style: Mapping[str, Any], *, format: str, **options: Any) -> None:
        import matplotlib as mpl
        from matplotlib.figure import Figure

        undated: dict[str, Any] = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(format, {})
        with mpl.rc_context(dict(style)):
            figure = Figure(figsize=(self.width, self.height))  # does not touch pyplot's global state
            self.draw(figure, figure.subplots(**self.grid))
            figure.savefig(target, format=format, metadata=undated, **options)
