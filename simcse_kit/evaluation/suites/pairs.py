"""Your own scored pairs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simcse_kit.evaluation.suite import SUITES, Suite

if TYPE_CHECKING:
    from simcse_kit.evaluation.results import SuiteResult
    from simcse_kit.types import EncodeFn, ScoredPairs


@SUITES.register
@dataclass(frozen=True, kw_only=True)
class Pairs(Suite):
    """Correlation with the gold scores of your own pairs."""

    name = "pairs"
    help = "Your own scored pairs: correlation, and for 0/1 labels average precision and accuracy."
    source = "protocol of Gao et al. (2021)"
    unit = "correlation × 100"
    data = "a file of scored pairs: sentence1, sentence2, score"
    order = 4
    takes_scored_pairs = True

    def run(self, encode: EncodeFn, data: ScoredPairs | str | Path, *, show_progress_bar: bool = False) -> SuiteResult:
        from simcse_kit.evaluation.scored import evaluate_pairs

        return evaluate_pairs(encode, data)
