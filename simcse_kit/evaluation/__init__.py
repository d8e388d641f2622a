"""Scores from an `encode` function: the STS suites, your own pairs, alignment and uniformity.

Each name is imported at first use, so that the command's help can list the suites without numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simcse_kit.evaluation.bootstrap import Difference, Interval, compare, intervals
    from simcse_kit.evaluation.download import download_sts
    from simcse_kit.evaluation.geometry import evaluate_geometry, hubness, similarity_error
    from simcse_kit.evaluation.labels import evaluate_labels
    from simcse_kit.evaluation.metrics import (
        alignment,
        average_precision,
        best_threshold,
        cosine_pairs,
        effective_rank,
        mean_cosine,
        pearson,
        spearman,
        spectrum,
        uniformity,
    )
    from simcse_kit.evaluation.mteb import evaluate_mteb
    from simcse_kit.evaluation.results import CorrelationRow, Outcome, SuiteResult
    from simcse_kit.evaluation.retrieval import evaluate_retrieval
    from simcse_kit.evaluation.scored import evaluate_klue_sts, evaluate_korsts, evaluate_pairs, evaluate_sts
    from simcse_kit.evaluation.sts import load_sts
    from simcse_kit.evaluation.suite import SUITES, Suite, evaluate
    from simcse_kit.evaluation.transfer import evaluate_transfer

_HOME = {
    **dict.fromkeys(("Difference", "Interval", "compare", "intervals"), "bootstrap"),
    "download_sts": "download",
    **dict.fromkeys(("evaluate_geometry", "hubness", "similarity_error"), "geometry"),
    "evaluate_labels": "labels",
    **dict.fromkeys(
        (
            "alignment",
            "average_precision",
            "best_threshold",
            "cosine_pairs",
            "effective_rank",
            "mean_cosine",
            "pearson",
            "spearman",
            "spectrum",
            "uniformity",
        ),
        "metrics",
    ),
    "evaluate_mteb": "mteb",
    **dict.fromkeys(("Outcome", "CorrelationRow", "SuiteResult"), "results"),
    "evaluate_retrieval": "retrieval",
    **dict.fromkeys(("evaluate_klue_sts", "evaluate_korsts", "evaluate_pairs", "evaluate_sts"), "scored"),
    "load_sts": "sts",
    **dict.fromkeys(("SUITES", "Suite", "evaluate"), "suite"),
    "evaluate_transfer": "transfer",
}

__all__ = [
    "SUITES",
    "CorrelationRow",
    "Difference",
    "Interval",
    "Outcome",
    "Suite",
    "SuiteResult",
    "alignment",
    "average_precision",
    "best_threshold",
    "compare",
    "cosine_pairs",
    "download_sts",
    "effective_rank",
    "evaluate",
    "evaluate_geometry",
    "evaluate_klue_sts",
    "evaluate_korsts",
    "evaluate_labels",
    "evaluate_mteb",
    "evaluate_pairs",
    "evaluate_retrieval",
    "evaluate_sts",
    "evaluate_transfer",
    "hubness",
    "intervals",
    "load_sts",
    "mean_cosine",
    "pearson",
    "similarity_error",
    "spearman",
    "spectrum",
    "uniformity",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'simcse_kit.evaluation' has no attribute {name!r}")
    return getattr(importlib.import_module(f"simcse_kit.evaluation.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
