"""The seven-task table of the SimCSE paper."""

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
class STS(Suite):
    """The seven STS tasks with SimCSE's protocol."""

    name = "sts"
    help = "STS12-16, STS-B and SICK-R: rank correlation with human judgement of similarity."
    source = "Agirre et al. (2012-2016), Cer et al. (2017), Marelli et al. (2014); protocol of Gao et al. (2021)"
    unit = "Spearman × 100"
    data = "a folder with STS/ and SICK/, or senteval/"
    order = 1
    can_download = True

    def download(self, folder: str | Path) -> Path:
        from simcse_kit.evaluation.download import download_sts

        return download_sts(folder)

    def run(self, encode: EncodeFn, data: str | Path, *, show_progress_bar: bool = False) -> SuiteResult:
        from simcse_kit.evaluation.scored import evaluate_sts

        return evaluate_sts(encode, data)
