"""Live display of a training run in a notebook: progress bar, loss and scores."""

from __future__ import annotations

import html
import sys
import time
from typing import Any

from simcse_kit.tabular import html_table, rounded
from simcse_kit.training.events import TrainListener, TrainPlan, TrainResult

_PAUSE = 0.5  # seconds between two updates
_SCORES = {
    "eval_spearman": "Spearman × 100",
    "eval_alignment": "alignment",
    "eval_uniformity": "uniformity",
    "eval_label_free": "dropout twins",
}


def usual_listener() -> TrainListener:
    """The default listener: in a notebook one that displays the run, elsewhere one that does nothing."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return NotebookListener() if type(shell).__name__ == "ZMQInteractiveShell" else TrainListener()


class NotebookListener(TrainListener):
    """Shows a bar with the loss of the last batches, and a table with one row per evaluation."""

    def __init__(self) -> None:
        self._display: Any = None
        self._shown = 0.0  # time of the last update
        self._began = 0.0
        self._first = 0  # step at which the clock started

    def started(self, plan: TrainPlan) -> None:
        """Show an empty bar."""
        from IPython.display import HTML, display

        self._plan, self._loss = plan, ""
        self._rows: list[dict[str, Any]] = []
        self._step = self._first = plan.resumed_from or 0
        self._began, self._steps = time.monotonic(), plan.steps
        self._display = display(HTML(self.html()), display_id=True)

    def stepped(self, step: int, steps: int) -> None:
        """Move the bar, at most twice a second."""
        self._step, self._steps = step, steps
        self._show()

    def logged(self, step: int, metrics: dict[str, float]) -> None:
        """Keep the last loss, and add a row for an evaluation."""
        if "loss" in metrics:
            self._loss = f"loss {metrics['loss']:.4f}"
        scores = {name: metrics[key] for key, name in _SCORES.items() if key in metrics}
        if scores:
            self._rows.append({"step": step, **scores})
        self._show(now=bool(scores))

    def finished(self, result: TrainResult) -> None:
        """Show the result."""
        kept = "" if result.best_step is None else f"; step {result.best_step} was saved"
        if result.start_was_better:
            kept = "; the start model was saved: no checkpoint scored higher"
        self._step = result.steps
        self._loss += f"; {result.seconds:.0f} s{kept}"
        self._show(now=True)

    def html(self) -> str:
        """The HTML that the notebook shows."""
        done = self._step - self._first
        left = (time.monotonic() - self._began) / done * (self._steps - self._step) if done else 0.0
        time_left = f", {left:.0f} s left" if left >= 1 else ""
        line = f"step {self._step:,} of {self._steps:,}{time_left}; {self._loss}".rstrip("; ")
        name = html.escape(self._plan.model)
        bar = f'<progress value="{self._step}" max="{self._steps}" style="width: 20em"></progress>'
        rows = [{key: _short(key, value) for key, value in row.items()} for row in self._rows]
        return f"<div>Training {name}<br>{bar} {html.escape(line)}</div>" + (html_table(rows) if rows else "")

    def _show(self, *, now: bool = False) -> None:
        if self._display is None or not (now or time.monotonic() - self._shown > _PAUSE):
            return
        from IPython.display import HTML

        self._shown = time.monotonic()
        self._display.update(HTML(self.html()))


def _short(key: str, value: float) -> str:
    return f"{value:,}" if key == "step" else rounded(value, 2 if "100" in key else 3)
