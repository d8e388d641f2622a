"""The public names, for editors and type checkers; `tests/test_public.py` compares them with __init__.py."""

from simcse_kit.data.prepare import SentenceCounts, TripletCounts, prepare_nli, prepare_sentences
from simcse_kit.encoder.cross_encoder import CrossEncoder
from simcse_kit.encoder.pooling import POOLERS
from simcse_kit.encoding.bulk.encode import EncodeCounts, encode_files
from simcse_kit.encoding.embedders import Embedder, open_embedder
from simcse_kit.encoding.export.check import ExportCheck
from simcse_kit.encoding.export.export import export_model
from simcse_kit.encoding.once import encode
from simcse_kit.encoding.ray import encode_with_ray
from simcse_kit.errors import (
    DataError,
    IndexChangedError,
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
    download_sts,
    evaluate,
    evaluate_geometry,
    evaluate_klue_sts,
    evaluate_korsts,
    evaluate_labels,
    evaluate_mteb,
    evaluate_pairs,
    evaluate_retrieval,
    evaluate_sts,
    evaluate_transfer,
)
from simcse_kit.index import (
    IndexCounts,
    SentenceIndex,
    SyncCounts,
    add_files,
    build_index,
    rebuild_index,
    sync_files,
)
from simcse_kit.index.judging import judge
from simcse_kit.index.mining import cluster, mine_pairs
from simcse_kit.index.reranking import Reranked, rerank
from simcse_kit.losses import info_nce, nt_xent
from simcse_kit.model import SimCSE
from simcse_kit.objectives._base import OBJECTIVES, LossBatch, Objective, Term
from simcse_kit.parts import setting
from simcse_kit.report.comparison import Comparison, compare_models
from simcse_kit.report.gather import make_report
from simcse_kit.report.plots import (
    plot_changes,
    plot_geometry,
    plot_similarity,
    plot_similarity_change,
    plot_spectrum,
    plot_speed,
    plot_training,
)
from simcse_kit.report.recording import record_evaluation
from simcse_kit.report.render import write_report
from simcse_kit.search import Hit
from simcse_kit.serving.server import serve
from simcse_kit.training.events import TrainListener, TrainPlan, TrainResult
from simcse_kit.training.negatives import NegativeCounts, prepare_negatives
from simcse_kit.training.repeat import repeat_run
from simcse_kit.training.run import train_sup, train_unsup
from simcse_kit.training.seeds import SeedsResult, train_seeds

__version__: str

from simcse_kit.workflows.adapt import AdaptResult, adapt
from simcse_kit.workflows.quickstart import QuickstartResult, quickstart
from simcse_kit.workflows.study import StudyResult, plan_study, run_study
from simcse_kit.workflows.study_file import Study, read_study

__all__ = [
    "OBJECTIVES",
    "POOLERS",
    "AdaptResult",
    "Comparison",
    "CrossEncoder",
    "DataError",
    "Embedder",
    "EncodeCounts",
    "ExportCheck",
    "Hit",
    "IndexChangedError",
    "IndexCounts",
    "LossBatch",
    "MissingExtraError",
    "ModelError",
    "NegativeCounts",
    "Notice",
    "Objective",
    "QuickstartResult",
    "Reranked",
    "SearchIndexError",
    "SeedsResult",
    "SentenceCounts",
    "SentenceIndex",
    "SimCSE",
    "SimCSEKitError",
    "Study",
    "StudyResult",
    "SuiteResult",
    "SyncCounts",
    "Term",
    "TrainListener",
    "TrainPlan",
    "TrainResult",
    "TrainingError",
    "TrainingInterrupted",
    "TripletCounts",
    "adapt",
    "add_files",
    "build_index",
    "cluster",
    "compare",
    "compare_models",
    "download_sts",
    "encode",
    "encode_files",
    "encode_with_ray",
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
    "export_model",
    "info_nce",
    "judge",
    "make_report",
    "mine_pairs",
    "nt_xent",
    "open_embedder",
    "plan_study",
    "plot_changes",
    "plot_geometry",
    "plot_similarity",
    "plot_similarity_change",
    "plot_spectrum",
    "plot_speed",
    "plot_training",
    "prepare_negatives",
    "prepare_nli",
    "prepare_sentences",
    "quickstart",
    "read_study",
    "rebuild_index",
    "record_evaluation",
    "repeat_run",
    "rerank",
    "run_study",
    "serve",
    "setting",
    "sync_files",
    "train_seeds",
    "train_sup",
    "train_unsup",
    "write_report",
]
