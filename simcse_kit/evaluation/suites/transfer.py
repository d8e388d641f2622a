"""SentEval's transfer tasks."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simcse_kit.evaluation.suite import SUITES, Suite
from simcse_kit.parts import setting

if TYPE_CHECKING:
    from simcse_kit.evaluation.results import SuiteResult
    from simcse_kit.types import EncodeFn


@SUITES.register
@dataclass(frozen=True, kw_only=True)
class Transfer(Suite):
    """What a linear classifier reads from frozen vectors."""

    name = "transfer"
    help = "SentEval's transfer tasks: accuracy of a linear classifier on frozen vectors."
    source = "Conneau & Kiela (2018)"
    unit = "accuracy × 100"
    data = "a folder with MR/, CR/, ... MRPC/, or senteval/"
    order = 5
    task = "text-classification"

    tasks: tuple[str, ...] | None = setting(
        None,
        "Tasks to measure, with commas. Default: all.",
        choices=("MR", "CR", "SUBJ", "MPQA", "SST2", "TREC", "MRPC"),
    )
    folds: int = setting(5, "Number of folds of the cross-validation; the paper's table has 10.", at_least=2)

    def run(self, encode: EncodeFn, data: str | Path, *, show_progress_bar: bool = False) -> SuiteResult:
        from simcse_kit.evaluation.transfer import evaluate_transfer
        from simcse_kit.evaluation.transfer_data import TASKS

        tasks = TASKS if self.tasks is None else self.tasks
        return evaluate_transfer(encode, data, tasks=tasks, folds=self.folds, show_progress_bar=show_progress_bar)
