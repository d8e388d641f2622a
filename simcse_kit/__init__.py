"""Train a SimCSE sentence encoder, measure it, encode with it and search with it.

Importing this package loads nothing heavy: each name is fetched when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simcse_kit.encoder.pooling import POOLERS
    from simcse_kit.encoding.bulk.encode import EncodeCounts, encode_files
    from simcse_kit.encoding.embedders import Embedder, open_embedder
    from simcse_kit.encoding.export.check import ExportCheck
    from simcse_kit.encoding.export.export import export_model
    from simcse_kit.encoding.ray import encode_with_ray
    from simcse_kit.errors import (
        DataError,
        MissingExtraError,
        ModelError,
        Notice,
        SearchIndexError,
        SimCSEKitError,
        TrainingError,
        TrainingInterrupted,
    )
    from simcse_kit.evaluation import (
        SuiteResult,
        compare,
        evaluate,
        evaluate_geometry,
        evaluate_korsts,
        evaluate_pairs,
        evaluate_retrieval,
        evaluate_sts,
        evaluate_transfer,
    )
    from simcse_kit.index import IndexCounts, SentenceIndex, add_files, build_index
    from simcse_kit.losses import info_nce, nt_xent
    from simcse_kit.model import SimCSE, encode
    from simcse_kit.report.recording import record_evaluation
    from simcse_kit.search import Hit
    from simcse_kit.training.events import TrainListener, TrainPlan, TrainResult
    from simcse_kit.training.repeat import repeat_run
    from simcse_kit.training.run import train_sup, train_unsup
    from simcse_kit.training.seeds import SeedsResult, train_seeds

__version__ = "0.1.0"

_HOME = {
    **dict.fromkeys(
        (
            "DataError",
            "MissingExtraError",
            "ModelError",
            "Notice",
            "SearchIndexError",
            "SimCSEKitError",
            "TrainingError",
            "TrainingInterrupted",
        ),
        "errors",
    ),
    **dict.fromkeys(
        (
            "SuiteResult",
            "compare",
            "evaluate",
            "evaluate_geometry",
            "evaluate_korsts",
            "evaluate_pairs",
            "evaluate_retrieval",
            "evaluate_sts",
            "evaluate_transfer",
        ),
        "evaluation",
    ),
    **dict.fromkeys(("EncodeCounts", "encode_files"), "encoding.bulk.encode"),
    "encode_with_ray": "encoding.ray",
    **dict.fromkeys(("Embedder", "open_embedder"), "encoding.embedders"),
    "ExportCheck": "encoding.export.check",
    "export_model": "encoding.export.export",
    "SentenceIndex": "index",
    **dict.fromkeys(("IndexCounts", "add_files", "build_index"), "index"),
    **dict.fromkeys(("info_nce", "nt_xent"), "losses"),
    **dict.fromkeys(("SimCSE", "encode"), "model"),
    "POOLERS": "encoder.pooling",
    "record_evaluation": "report.recording",
    "Hit": "search",
    **dict.fromkeys(("TrainListener", "TrainPlan", "TrainResult"), "training.events"),
    "repeat_run": "training.repeat",
    **dict.fromkeys(("train_sup", "train_unsup"), "training.run"),
    **dict.fromkeys(("SeedsResult", "train_seeds"), "training.seeds"),
}

__all__ = [
    "POOLERS",
    "DataError",
    "Embedder",
    "EncodeCounts",
    "ExportCheck",
    "Hit",
    "IndexCounts",
    "MissingExtraError",
    "ModelError",
    "Notice",
    "SearchIndexError",
    "SeedsResult",
    "SentenceIndex",
    "SimCSE",
    "SimCSEKitError",
    "SuiteResult",
    "TrainListener",
    "TrainPlan",
    "TrainResult",
    "TrainingError",
    "TrainingInterrupted",
    "add_files",
    "build_index",
    "compare",
    "encode",
    "encode_files",
    "encode_with_ray",
    "evaluate",
    "evaluate_geometry",
    "evaluate_korsts",
    "evaluate_pairs",
    "evaluate_retrieval",
    "evaluate_sts",
    "evaluate_transfer",
    "export_model",
    "info_nce",
    "nt_xent",
    "open_embedder",
    "record_evaluation",
    "repeat_run",
    "train_seeds",
    "train_sup",
    "train_unsup",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'simcse_kit' has no attribute {name!r}")
    return getattr(importlib.import_module(f"simcse_kit.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
