"""Exact search over parts of vectors, by one thread and by several."""

from __future__ import annotations

from itertools import pairwise

import faiss
import numpy as np
import pytest

from simcse_kit.search import vectors as module
from simcse_kit.search.vectors import Nearest, VectorPart, VectorParts

SIZES, DIMENSION, K = (700, 1, 1299), 16, 7


def unit(count: int, seed: int) -> np.ndarray:
    drawn = np.random.default_rng(seed).standard_normal((count, DIMENSION), dtype=np.float32)
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


ROWS, QUERIES = unit(sum(SIZES), 0), unit(30, 1)


def parts() -> VectorParts:
    starts = np.cumsum([0, *SIZES])
    return VectorParts([VectorPart(a, ROWS[a:b], None) for a, b in pairwise(starts.tolist())], DIMENSION)


def by_hand(queries: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """Rows in the order of their products with each query, (Q, K)."""
    products = np.where(allowed, queries @ ROWS.T, -np.inf)
    return np.argsort(-products, axis=1)[:, :K]


def check(found: Nearest, queries: np.ndarray, wanted: np.ndarray) -> None:
    np.testing.assert_array_equal(found.rows, wanted)
    np.testing.assert_allclose(found.scores, np.take_along_axis(queries @ ROWS.T, wanted, 1), rtol=1e-5)


@pytest.mark.parametrize("count", [1, 30])  # FAISS has a way for few and one for many
@pytest.mark.parametrize("kept", ["all", "most", "few"])
def test_threads_find_what_one_finds(count: int, kept: str, monkeypatch: pytest.MonkeyPatch) -> None:
    allowed = np.ones(len(ROWS), dtype=bool)
    allowed[:: {"all": len(ROWS) + 1, "most": 50, "few": 2}[kept]] = kept == "all"
    wanted, queries = by_hand(QUERIES[:count], allowed), QUERIES[:count]
    choice = None if kept == "all" else allowed
    check(parts().nearest(queries, K, allowed=choice), queries, wanted)
    monkeypatch.setattr(module, "_SHARED", 0)
    for threads in (1, 3):
        monkeypatch.setattr(module, "_threads", lambda threads=threads: threads)
        check(parts().nearest(queries, K, allowed=choice), queries, wanted)


def test_threads_have_one_core_each_and_leave_the_setting_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, seen = module.exact_nearest, []

    def watched(*arguments: object) -> Nearest:
        seen.append(faiss.omp_get_max_threads())
        return plain(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(module, "_SHARED", 0)
    monkeypatch.setattr(module, "exact_nearest", watched)
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(3)
    try:
        parts().nearest(QUERIES, K)
        assert faiss.omp_get_max_threads() == 3
    finally:
        faiss.omp_set_num_threads(before)
    assert set(seen) == {1}
    assert len(seen) == 5  # at most 667 rows at once: 667 and 33, 1, 667 and 632


def test_an_error_in_a_thread_is_the_caller_s(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_SHARED", 0)
    monkeypatch.setattr(module, "_threads", lambda: 2)
    with pytest.raises(AssertionError):  # FAISS: another dimension
        parts().nearest(unit(2, 0)[:, :-1].copy(), K)


@pytest.mark.parametrize("count", [1, 30])
@pytest.mark.parametrize("split", [True, False])
def test_candidates_get_their_exact_scores_across_parts(count: int, split: bool) -> None:
    queries = QUERIES[:count]
    draw = np.random.default_rng(2)
    candidates = np.stack([draw.choice(np.arange(1, 700), 40, replace=False) for _ in queries]).astype(np.int64)
    candidates[:, 10:20] += 701  # of the last part
    candidates[:, 5], candidates[:, 6], candidates[:, -3:] = 700, 0, -1  # the part of one row; the first row; none
    own_parts = parts() if split else VectorParts([VectorPart(0, ROWS, None)], DIMENSION)
    found = own_parts.rescored(queries, candidates, 39)
    for i, own in enumerate(candidates):
        kept = np.unique(own[own >= 0])
        order = kept[np.argsort(-(ROWS[kept] @ queries[i]))]
        np.testing.assert_array_equal(found.rows[i][: len(kept)], order)
        assert (found.rows[i][len(kept) :] == -1).all()
        assert (found.scores[i][len(kept) :] == -np.inf).all()
