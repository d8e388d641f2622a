"""Tasks of MTEB."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simcse_kit.evaluation.suite import SUITES, Suite

if TYPE_CHECKING:
    from simcse_kit.evaluation.results import SuiteResult
    from simcse_kit.types import EncodeFn


@SUITES.register
@dataclass(frozen=True, kw_only=True)
class MTEB(Suite):
    """Any task or benchmark of the package `mteb`."""

    name = "mteb"
    help = "Any task or benchmark of MTEB, by the package mteb itself."
    source = "Muennighoff et al. (2023)"
    unit = "main score of each task × 100"
    data = 'names of tasks or benchmarks of mteb, such as STSBenchmark or "MTEB(eng, v2)", or module:class'
    order = 8
    large = True

    def run(self, encode: EncodeFn, data: Any, *, show_progress_bar: bool = False) -> SuiteResult:
        from simcse_kit.evaluation.mteb import evaluate_mteb

        return evaluate_mteb(encode, data, show_progress_bar=show_progress_bar)
