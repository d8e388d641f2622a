"""KLUE-STS, Korean sentence pairs of several domains."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simcse_kit.evaluation.suite import SUITES, Suite

if TYPE_CHECKING:
    from simcse_kit.evaluation.results import SuiteResult
    from simcse_kit.types import EncodeFn


@SUITES.register
@dataclass(frozen=True, kw_only=True)
class KLUESTS(Suite):
    """The validation set of KLUE-STS."""

    name = "klue-sts"
    help = "KLUE-STS: Korean pairs of several domains."
    source = "Park et al. (2021)"
    unit = "Spearman × 100"
    data = "hf:klue/klue#sts:validation, or a local folder of that data set"
    order = 3

    def run(self, encode: EncodeFn, data: str | Path, *, show_progress_bar: bool = False) -> SuiteResult:
        from simcse_kit.evaluation.scored import evaluate_klue_sts

        return evaluate_klue_sts(encode, data)
