"""Scores from an `encode` function: the STS suites, your own pairs, alignment and uniformity."""

from simcse_kit.evaluation.bootstrap import Difference, Interval, compare, intervals
from simcse_kit.evaluation.download import download_sts
from simcse_kit.evaluation.geometry import evaluate_geometry, hubness, similarity_error
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
from simcse_kit.evaluation.results import Outcome, Row, SuiteResult
from simcse_kit.evaluation.retrieval import evaluate_retrieval
from simcse_kit.evaluation.sts import load_sts
from simcse_kit.evaluation.suites import (
    SUITES,
    Suite,
    evaluate,
    evaluate_klue_sts,
    evaluate_korsts,
    evaluate_pairs,
    evaluate_sts,
)
from simcse_kit.evaluation.transfer import evaluate_transfer

__all__ = [
    "SUITES",
    "Difference",
    "Interval",
    "Outcome",
    "Row",
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
