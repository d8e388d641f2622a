"""Scores from an `encode` function: the STS suites, your own pairs, alignment and uniformity."""

from simcse_kit.evaluation.download import download_sts
from simcse_kit.evaluation.metrics import (
    alignment,
    cosine_pairs,
    effective_rank,
    mean_cosine,
    pearson,
    spearman,
    uniformity,
)
from simcse_kit.evaluation.results import Row, SuiteResult
from simcse_kit.evaluation.sts import load_sts
from simcse_kit.evaluation.suites import SUITES, evaluate, evaluate_korsts, evaluate_pairs, evaluate_sts

__all__ = [
    "SUITES",
    "Row",
    "SuiteResult",
    "alignment",
    "cosine_pairs",
    "download_sts",
    "effective_rank",
    "evaluate",
    "evaluate_korsts",
    "evaluate_pairs",
    "evaluate_sts",
    "load_sts",
    "mean_cosine",
    "pearson",
    "spearman",
    "uniformity",
]
