"""A study for a paper: models and training runs under several seeds, measured on the same suites, from one file."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from simcse_kit.files import make_folder
from simcse_kit.report.comparison import Comparison
from simcse_kit.report.gather import Report, make_report
from simcse_kit.report.render import write_report
from simcse_kit.report.score_table import as_latex, as_markdown
from simcse_kit.training.events import TrainListener, TrainPlan
from simcse_kit.training.run import train_sup, train_unsup
from simcse_kit.training.seeds import train_seeds
from simcse_kit.workflows.study_file import Study, StudyRun, read_study

_STEPS = 4  # steps that a dry run times


class StudyResult(NamedTuple):
    """Result of a study."""

    comparison: Comparison
    files: tuple[Path, ...]  # the tables and the report


class Planned(NamedTuple):
    """A training run of a study, and what is left of it."""

    name: str
    seed: int
    state: str  # done, started, new
    steps: int  # of the whole run
    seconds: float  # estimate for the rest on this machine, without evaluation and checkpoints


def run_study(
    study: Study | str | Path,
    *,
    show_progress_bar: bool = False,
    announce: Callable[[str], None] = lambda _: None,
    listener: TrainListener | None = None,
) -> StudyResult:
    """Train the runs, measure everything, and write ``table.md``, ``table.tex``, ``table.csv`` and ``report.html``.

    If stopped, the same call continues: finished runs are not trained again, and results are read from the folder
    ``results``. Both depend on content: a run whose data or settings have changed is a new one.

    Args:
        study: result of `read_study`, or the path of a study file.
        show_progress_bar: bars during encoding.
        announce: called with a line before each step.
        listener: listener of the training runs.

    Raises:
        SimCSEKitError: the file is invalid, see `read_study`; or errors of training and measuring.
    """
    study = study if isinstance(study, Study) else read_study(study)
    for run in study.runs:
        if run.is_whole:
            announce(f"{run.name}: already trained")
            continue
        announce(f"{run.name}: training, seeds {', '.join(map(str, run.seeds))}")
        train_seeds(run.mode, run.data, run.folder, run.seeds, resume=True, listener=listener, **run.settings)
    report = _measured(study, show_progress_bar=show_progress_bar, announce=announce)
    return StudyResult(report, tuple(_write(study.output, report)))


def _measured(study: Study, *, show_progress_bar: bool, announce: Callable[[str], None]) -> Report:
    return make_report(
        [*(one.model for one in study.models), *(str(run.folder) for run in study.runs)],
        {suite: study.data[suite] for suite in study.suites},
        options=study.options,
        show_progress_bar=show_progress_bar,
        announce=lambda name: announce(f"{name}: measuring"),
        cache=study.results,
        each=[*(one.options for one in study.models), *({} for _ in study.runs)],
        names=study.names,
    )


def _write(folder: Path, report: Report) -> Iterator[Path]:
    make_folder(folder)
    tables = report.score_tables()
    texts = {
        "table.md": "\n".join(map(as_markdown, tables)),
        "table.tex": "\n".join(map(as_latex, tables)),
        "table.csv": report.to_dataframe().to_csv(index=False),
    }
    for name, text in texts.items():
        (folder / name).write_text(text, encoding="utf-8")
        yield folder / name
    write_report(report, folder / "report.html")
    yield folder / "report.html"


def plan_study(study: Study | str | Path, *, announce: Callable[[str], None] = lambda _: None) -> list[Planned]:
    """What `run_study` would train, with a time estimate; keeps nothing.

    For an unfinished run, the first steps are run in a temporary folder and timed.
    """
    study = study if isinstance(study, Study) else read_study(study)
    planned = []
    for run in study.runs:
        steps, each = (0, 0.0) if run.is_whole else _timed(run, announce)
        for seed in run.seeds:
            folder = run.folder / f"seed-{seed}"
            begun = max((_step(path) for path in folder.glob("checkpoint-*")), default=0)
            state = "done" if run.ended(seed) else "begun" if begun else "new"
            left = 0 if state == "done" else steps - begun
            planned.append(Planned(run.name, seed, state, steps, left * each))
    return planned


def _step(checkpoint: Path) -> int:
    number = checkpoint.name.rpartition("-")[2]
    return int(number) if number.isdigit() else 0


class _Enough(Exception):
    """The timed steps are done."""


class _Timing(TrainListener):
    def __init__(self) -> None:
        self.plan: TrainPlan | None = None
        self.ends: list[float] = []

    def started(self, plan: TrainPlan) -> None:
        self.plan = plan

    def stepped(self, step: int, steps: int) -> None:
        self.ends.append(time.perf_counter())
        if len(self.ends) > _STEPS:
            raise _Enough


def _timed(run: StudyRun, announce: Callable[[str], None]) -> tuple[int, float]:
    """(steps, seconds per step) of a run."""
    announce(f"{run.name}: timing {_STEPS} steps")
    timing = _Timing()
    train = train_unsup if run.mode == "unsup" else train_sup
    settings: dict[str, Any] = {**run.settings, "seed": run.seeds[0], "listener": timing}
    with tempfile.TemporaryDirectory() as folder, suppress(_Enough):
        train(run.data, Path(folder) / "run", **settings)
    assert timing.plan is not None
    pauses = [later - earlier for earlier, later in zip(timing.ends, timing.ends[1:], strict=False)]
    return timing.plan.steps, median(pauses) if pauses else math.nan
