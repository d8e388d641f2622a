"""KorSTS, the Korean STS benchmark."""

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
class KorSTS(Suite):
    """The test set of KorSTS."""

    name = "korsts"
    help = "KorSTS: STS-B in Korean."
    source = "Ham et al. (2020)"
    unit = "Spearman × 100"
    data = "a folder with korsts/"
    order = 2

    def run(self, encode: EncodeFn, data: str | Path, *, show_progress_bar: bool = False) -> SuiteResult:
        from simcse_kit.evaluation.scored import evaluate_korsts

        return evaluate_korsts(encode, data)
