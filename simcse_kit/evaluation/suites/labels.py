"""Labelled texts of your own."""

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
class LabelsSuite(Suite):
    """Whether the nearest texts of a text have its label."""

    name = "labels"
    help = "Your own labelled texts: P@10, P@1, MAP and 10-NN accuracy of exact search, V-measure of k-means."
    source = "Manning et al. (2008), Rosenberg & Hirschberg (2007)"
    unit = "× 100"
    data = "a file with the columns text and label, or a folder with train.tsv (searched) and test.tsv (queries)"
    order = 7
    task = "text-retrieval"

    label_column: str = setting("label", "Column with the labels.")
    text_column: str | None = setting(
        None, "Column with the texts. Default: text, sentence, sent or sent0, or the only other column."
    )

    def run(self, encode: EncodeFn, data: str | Path, *, show_progress_bar: bool = False) -> SuiteResult:
        from simcse_kit.evaluation.labels import evaluate_labels

        return evaluate_labels(
            encode,
            data,
            label_column=self.label_column,
            text_column=self.text_column,
            show_progress_bar=show_progress_bar,
        )
