"""``simcse-kit study``."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simcse_kit.workflows.study import Planned


def run_study_command(
    file: Annotated[
        Path,
        typer.Argument(
            help="TOML file: seeds; [data] with suite = path; a [[model]] for each model to measure; a [[run]] for "
            "each training run, with settings of train by name. Paths start at its folder.",
            metavar="FILE",
        ),
    ],
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run",
            help="List the training runs, what is left of each, and an estimate of the time; only a few steps of "
            "each run are made, to time them.",
        ),
    ] = False,
) -> None:
    """Train runs under several seeds, measure them and other models on the same suites, and write tables and a report.

    You can stop at any time; the same command continues. A run whose data or settings have changed is a new run.

    Example: simcse-kit study study.toml --dry-run
    Example: simcse-kit study study.toml
    """
    from simcse_kit.cli.console import err, escaped, out, show_next
    from simcse_kit.workflows.study_file import read_study

    study = read_study(file)

    def announce(line: str) -> None:
        err().print(escaped(line), style="dim")

    if dry_run:
        from simcse_kit.workflows.study import plan_study

        _print_plan(plan_study(study, announce=announce))
        out().print(f"to measure: {len(study.names)} models and runs on {', '.join(study.suites)}")
        show_next(["study", file])
        return
    from simcse_kit.cli.evaluate import print_suite
    from simcse_kit.cli.progress import TerminalListener
    from simcse_kit.report.score_table import as_markdown
    from simcse_kit.workflows.study import run_study

    listener = TerminalListener(show_plan=False)
    try:
        made = run_study(study, show_progress_bar=True, announce=announce, listener=listener)
    finally:
        listener.close()
    if sys.stdout.isatty():
        for name in made.comparison.suites:
            out().print()
            print_suite(out(), made.comparison, name)
    else:
        typer.echo("\n".join(map(as_markdown, made.comparison.score_tables())))
    err().print(f"wrote {', '.join(escaped(path) for path in made.files)}")


def _print_plan(planned: Sequence[Planned]) -> None:
    from simcse_kit.cli.console import out, table

    rows: list[list[Any]] = [
        [one.name, str(one.seed), one.state, f"{one.steps:,}" if one.steps else "", duration(one.seconds)]
        for one in planned
    ]
    if rows:
        out().print(table(["run", "seed", "state", "steps", "time left, about"], rows, left=1))
    out().print(f"training left: about {duration(sum(one.seconds for one in planned))}, on this machine")


def duration(seconds: float) -> str:
    """
    >>> duration(0), duration(42.4), duration(3000), duration(9000)
    ('none', '42 s', '50 min', '2.5 h')
    """
    if not math.isfinite(seconds):
        return "unknown"
    if seconds < 100:
        return f"{seconds:.0f} s" if seconds else "none"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
