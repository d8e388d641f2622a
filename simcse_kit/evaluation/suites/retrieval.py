"""Retrieval with your own queries."""

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
class RetrievalSuite(Suite):
    """Exact search by cosine over a corpus with relevance judgements."""

    name = "retrieval"
    help = "Your own queries, corpus and relevance: nDCG, recall and MRR of exact search."
    source = "Thakur et al. (2021)"
    unit = "× 100"
    data = "a folder with corpus.jsonl, queries.jsonl and qrels/test.tsv"
    order = 6
    task = "text-retrieval"

    split: str = setting("test", "Name of the file in qrels/.")

    def run(self, encode: EncodeFn, data: str | Path, *, show_progress_bar: bool = False) -> SuiteResult:
        from simcse_kit.evaluation.retrieval import evaluate_retrieval

        return evaluate_retrieval(encode, data, split=self.split)
