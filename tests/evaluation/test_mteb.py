"""MTEB with the real package, on tasks with generated data."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from datasets import Dataset

from simcse_kit.errors import DataError
from simcse_kit.evaluation import evaluate, evaluate_pairs
from simcse_kit.evaluation.mteb import evaluate_mteb
from simcse_kit.types import ScoredPairs, Vectors

mteb = pytest.importorskip("mteb", reason="the extra mteb is not installed")

WORDS = ["red", "green", "blue", "one", "two", "three", "cat", "dog", "horse"]
RANDOM = np.random.default_rng(0)
FIRST, SECOND = (
    [f"{side} {i} " + " ".join(RANDOM.choice(WORDS, size=4)) for i in range(40)] for side in ("first", "second")
)
GOLD = RANDOM.integers(0, 6, size=40).astype(float)
PAIRS = ScoredPairs(FIRST, SECOND, GOLD, "made here", 0)

FILE = '''
from datasets import load_dataset
from mteb.abstasks import AbsTaskSTS
from mteb.abstasks.task_metadata import TaskMetadata

class Own(AbsTaskSTS):
    """Pairs of a folder."""

    metadata = TaskMetadata(
        name="OwnSTS", description="own", dataset={{"path": {folder!r}, "revision": "1"}}, reference=None, type="STS",
        category="t2t", modalities=["text"], eval_splits=["test"], eval_langs=["eng-Latn"],
        main_score="cosine_spearman", date=None, domains=None, task_subtypes=None,
        license=None, annotations_creators=None, dialect=None,
        sample_creation=None, bibtex_citation=None,
    )

both = [Own, "not a task"]
'''


def encode(texts: object) -> Vectors:
    """Counts of letters."""
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    return np.array([[text.count(letter) for letter in letters] for text in texts], dtype=np.float32)  # type: ignore[attr-defined]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set in the layout of the hub's, and a module with a task over it."""
    place = tmp_path / "stsbenchmark-sts" / "data"
    place.mkdir(parents=True)
    columns = {"sentence1": FIRST, "sentence2": SECOND, "score": GOLD.tolist()}
    for split in ("validation", "test"):
        Dataset.from_dict(columns).to_parquet(place / f"{split}-00000-of-00001.parquet")
    (tmp_path / "own_tasks.py").write_text(FILE.format(folder=str(place.parent)), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    return place.parent


def test_a_task_of_mteb_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = mteb.get_task("STSBenchmark.v2")
    monkeypatch.setitem(task.metadata.dataset, "path", str(folder))
    result = evaluate(encode, "mteb", "STSBenchmark.v2")
    assert result.scores == pytest.approx({"STSBenchmark.v2": evaluate_pairs(encode, PAIRS).scores["spearman"]})
    assert {(row.task, row.split, row.metric) for row in result.details} == {
        ("STSBenchmark.v2", split, "cosine_spearman") for split in ("validation", "test")
    }
    assert result.details[0].score == pytest.approx(result.scores["STSBenchmark.v2"])


def test_a_task_of_ones_own(folder: Path) -> None:
    result = evaluate_mteb(encode, "own_tasks:Own")
    assert result.scores == pytest.approx({"OwnSTS": evaluate_pairs(encode, PAIRS).scores["spearman"]})
    with pytest.raises(DataError, match="'not a task' is not a task"):
        evaluate_mteb(encode, "own_tasks:both")


def test_several_tasks_have_an_average_and_other_kinds_of_tasks_run() -> None:
    from mteb.mocks import mock_tasks

    kinds = [getattr(mock_tasks, f"Mock{kind}Task") for kind in ("STS", "PairClassification", "Retrieval", "Reranking")]
    result = evaluate_mteb(encode, kinds)
    own = [result.scores[kind.metadata.name] for kind in kinds]
    assert result.scores["avg"] == pytest.approx(np.mean(own))
    assert result.sentences > 0


def test_what_mteb_does_not_have_is_named() -> None:
    with pytest.raises(DataError, match=r"unknown task or benchmark 'STSBenchmrk'.*Did you mean: 'STSBenchmark'"):
        evaluate_mteb(encode, "STSBenchmrk")
    with pytest.raises(DataError, match="unknown task or benchmark 'Nothing'"):
        evaluate_mteb(encode, "STSBenchmark, Nothing")
    with pytest.raises(DataError, match="image"):
        evaluate_mteb(encode, "CIFAR10")
    with pytest.raises(DataError, match="no task is named"):
        evaluate_mteb(encode, " , ")


def test_data_that_cannot_be_had_names_the_task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    task = mteb.get_task("STSBenchmark.v2")
    monkeypatch.setitem(task.metadata.dataset, "path", str(tmp_path / "nothing"))
    with pytest.raises(DataError, match=r"mteb, task STSBenchmark\.v2"):
        evaluate_mteb(encode, "STSBenchmark.v2")


def test_the_whole_english_benchmark_is_known() -> None:
    from simcse_kit.evaluation.mteb import _tasks

    assert len(_tasks("MTEB(eng, v2)")) == len(mteb.get_benchmark("MTEB(eng, v2)").tasks) > 30
