"""Any number of hits is found with the target recall; too few rows for a structure are compared one by one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simcse_kit import Notice, SearchIndexError
from simcse_kit.search import KINDS, Collection
from simcse_kit.search.structure import Setting

DIMENSION = 16


def clustered(count: int, seed: int = 0) -> np.ndarray:
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(60, DIMENSION))
    return (centres[draw.integers(0, 60, count)] + 0.6 * draw.normal(size=(count, DIMENSION))).astype(np.float32)


def filled(kind: str, folder: Path, count: int) -> Collection:
    made = Collection(DIMENSION, kind)
    made.add([""] * count, clustered(count), metadata=[{"n": n} for n in range(count)])
    made.save(folder)
    return Collection.open(folder)


def recall(found: Collection, exact: Collection, k: int, queries: np.ndarray) -> float:
    """The mean and two standard errors more: below the target, it is missed for certain."""
    right = [{hit.id for hit in hits} for hits in exact.search(queries, k)]
    answers = [{hit.id for hit in hits} for hits in found.search(queries, k)]
    assert {len(one) for one in answers} == {min(k, len(found))}
    each = np.array([len(a & b) / len(b) for a, b in zip(answers, right, strict=True)])
    return float(each.mean() + 2 * each.std() / np.sqrt(len(each)))


@pytest.mark.parametrize("kind", ["pq", "hnsw"])
def test_recall_of_many_hits_is_what_was_asked_for(kind: str, tmp_path: Path) -> None:
    """Of 10, of as many as it is tuned for, of others, and of all."""
    count = 3000
    exact = filled("flat", tmp_path / "flat", count)
    index = filled(kind, tmp_path / "i", count)
    entry = index._content.described
    assert entry is not None
    assert entry.more is not None
    assert all(one.recall >= 0.99 for one in entry.more)
    queries = clustered(100, 1)
    for k in (10, 11, 30, 100, 150, 1000, count):
        assert recall(index, exact, k, queries) >= 0.99


def test_as_many_hits_come_as_there_are_although_a_list_holds_fewer(tmp_path: Path) -> None:
    index, exact = filled("IVF400,Flat", tmp_path / "i", 2000), filled("flat", tmp_path / "flat", 2000)
    structure = index._content.structure
    assert structure is not None
    structure.settings = [Setting(effort=1, candidates=40)]
    queries = clustered(20, 1)
    unit = queries / np.linalg.norm(queries, axis=1, keepdims=True)
    short = np.flatnonzero((structure.candidates(unit, 40, 1) >= 0).sum(1) < 10)
    assert len(short)
    hits, right = index.search(queries, 10), exact.search(queries, 10)
    assert {len(one) for one in hits} == {10}
    assert all(hits[query] == right[query] for query in short)


@pytest.mark.parametrize("kind", ["pq", "IVF50,Flat", "HNSW8_PQ4", "IVF2,PQ4x8"])
def test_a_structure_waits_until_there_are_rows_enough(kind: str, tmp_path: Path) -> None:
    with pytest.warns(Notice, match=r"needs \d+ rows; with 5, every vector"):
        index = filled(kind, tmp_path / "i", 5)
    assert index.info().structure is None
    assert recall(index, index, 5, clustered(3, 1)) == 1
    index.save()
    assert index.info().generation == 1  # nothing new, nothing to make
    index.add([""] * 400, clustered(400, 3))
    index.save()
    entry = index.info().structure
    assert entry is not None
    assert entry.recall >= 0.99


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "flat"])
@pytest.mark.parametrize("count", [2, 3, 10, 17])
def test_few_rows_are_all_found(kind: str, count: int, tmp_path: Path) -> None:
    index = filled(kind, tmp_path / "i", count)
    entry = index.info().structure
    assert entry is None or entry.recall == 1
    assert recall(index, filled("flat", tmp_path / "flat", count), count, clustered(4, 1)) == 1
    assert recall(index, filled("flat", tmp_path / "f", count), min(count, 2), clustered(4, 1)) == 1


def test_what_faiss_cannot_train_is_an_error_that_says_so(tmp_path: Path) -> None:
    with pytest.raises(SearchIndexError, match="FAISS cannot train 'IVF4,RQ2x8'"):
        filled("IVF4,RQ2x8", tmp_path / "i", 40)
