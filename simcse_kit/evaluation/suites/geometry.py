"""How a model's vectors lie on the sphere."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simcse_kit.evaluation.suite import SUITES, Suite
from simcse_kit.parts import setting

if TYPE_CHECKING:
    from simcse_kit.evaluation.results import SuiteResult
    from simcse_kit.types import EncodeFn, ScoredPairs


@SUITES.register
@dataclass(frozen=True, kw_only=True)
class Geometry(Suite):
    """Alignment, uniformity and what the similarity mistakes for meaning."""

    name = "geometry"
    help = "Alignment, uniformity, effective rank, hubness, and biases of length and overlap."
    source = "Wang & Isola (2020), Roy & Vetterli (2007), Radovanovic et al. (2010), Wu et al. (2022)"
    unit = "each on its own scale"
    data = "the folder of sts (STS-B), or a file of scored pairs"
    order = 9
    takes_scored_pairs = True
    beside = ("sts", "pairs")
    digits = 3
    higher_is_better = False

    split: str = setting("all", "Split of STS-B.", choices=("all", "train", "dev", "test"))
    dedupe: bool = setting(False, "Measure each pair and each sentence once.")

    def run(self, encode: EncodeFn, data: ScoredPairs | str | Path, *, show_progress_bar: bool = False) -> SuiteResult:
        from simcse_kit.evaluation.geometry import evaluate_geometry

        return evaluate_geometry(encode, data, split=self.split, dedupe=self.dedupe)
