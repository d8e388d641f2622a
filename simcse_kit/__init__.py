"""Train a SimCSE sentence encoder, measure it, encode with it and search with it.

Importing this package loads nothing heavy: each name is fetched when it is first used.
"""

from __future__ import annotations

import importlib
from typing import Any

__version__ = "0.2.0"

_NAMES: dict[str, tuple[str, ...]] = {  # by module; __init__.pyi has the same for editors and type checkers
    "data.prepare": ("SentenceCounts", "TripletCounts", "prepare_nli", "prepare_sentences"),
    "encoder.cross_encoder": ("CrossEncoder",),
    "encoder.pooling": ("POOLERS",),
    "encoding.bulk.encode": ("EncodeCounts", "encode_files"),
    "encoding.embedders": ("Embedder", "open_embedder"),
    "encoding.export.check": ("ExportCheck",),
    "encoding.export.export": ("export_model",),
    "encoding.once": ("encode",),
    "encoding.ray": ("encode_with_ray",),
    "errors": (
        "DataError",
        "IndexChangedError",
        "MissingExtraError",
        "ModelError",
        "Notice",
        "SearchIndexError",
        "SimCSEKitError",
        "TrainingError",
        "TrainingInterrupted",
    ),
    "evaluation": (
        "SuiteResult",
        "compare",
        "download_sts",
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
    ),
    "index": (
        "IndexCounts",
        "SentenceIndex",
        "SyncCounts",
        "add_files",
        "build_index",
        "rebuild_index",
        "sync_files",
    ),
    "index.judging": ("judge",),
    "index.mining": ("cluster", "mine_pairs"),
    "index.reranking": ("Reranked", "rerank"),
    "losses": ("info_nce", "nt_xent"),
    "model": ("SimCSE",),
    "objectives._base": ("OBJECTIVES", "LossBatch", "Objective", "Term"),
    "parts": ("setting",),
    "report.comparison": ("Comparison", "compare_models"),
    "report.gather": ("make_report",),
    "report.plots": (
        "plot_changes",
        "plot_geometry",
        "plot_similarity",
        "plot_similarity_change",
        "plot_spectrum",
        "plot_speed",
        "plot_training",
    ),
    "report.recording": ("record_evaluation",),
    "report.render": ("write_report",),
    "search": ("Hit",),
    "serving.server": ("serve",),
    "training.events": ("TrainListener", "TrainPlan", "TrainResult"),
    "training.negatives": ("NegativeCounts", "prepare_negatives"),
    "training.repeat": ("repeat_run",),
    "training.run": ("train_sup", "train_unsup"),
    "training.seeds": ("SeedsResult", "train_seeds"),
    "workflows.adapt": ("AdaptResult", "adapt"),
    "workflows.study": ("StudyResult", "plan_study", "run_study"),
    "workflows.study_file": ("Study", "read_study"),
    "workflows.quickstart": ("QuickstartResult", "quickstart"),
}
_HOME = {name: module for module, names in _NAMES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'simcse_kit' has no attribute {name!r}")
    return getattr(importlib.import_module(f"simcse_kit.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
