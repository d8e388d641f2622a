"""Searches in Milvus: its index gives candidates, we compute exact scores, and tuning finds the effort for a recall."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.errors import SearchIndexError
from simcse_kit.search.kinds import MilvusIndex
from simcse_kit.search.milvus.remote import MOST_HITS, Remote
from simcse_kit.search.milvus.schema import row_of
from simcse_kit.search.rows import IndexRow
from simcse_kit.search.store import Searched
from simcse_kit.search.structure import TOP
from simcse_kit.search.vectors import Nearest, exact_nearest, merged, normalized
from simcse_kit.search.words import split_words
from simcse_kit.types import Vectors

_QUERIES = 200  # rows used for tuning
_NOISE = 0.5  # length of the noise added to their unit vectors
_EQUAL = 1e-6  # scores that differ by less count as equal
_FIRST_CANDIDATES = 20  # fewest candidates for rescoring


class Searching(NamedTuple):
    """Search parameters of a collection."""

    milvus: MilvusIndex
    effort: int | None  # None: the index's default

    def candidates(self, k: int) -> int:
        """Rows to request."""
        return k if self.milvus.factor == 1 else min(MOST_HITS, max(self.milvus.factor * k, _FIRST_CANDIDATES))

    def params(self, candidates: int) -> dict[str, int]:
        """Search parameters in Milvus's form."""
        if self.milvus.effort is None:
            return {}
        effort = self.milvus.efforts[len(self.milvus.efforts) // 2] if self.effort is None else self.effort
        return {self.milvus.effort: max(effort, candidates) if self.milvus.effort == "ef" else effort}


def nearest(
    remote: Remote, queries: Vectors, k: int, expression: str, fields: Sequence[str], searching: Searching
) -> tuple[Nearest, dict[int, IndexRow]]:
    """The k nearest rows of unit queries (Q, D) by number, with the rows themselves if fields are requested.

    Scores are exact: if the index holds only codes, the vectors are fetched too.
    """
    if k > MOST_HITS:
        raise SearchIndexError(f"Milvus returns at most {MOST_HITS:,} rows per query; got {k:,}")
    count = searching.candidates(k)
    rescored = searching.milvus.factor > 1
    asked = [*fields, "vector"] if rescored else fields
    answers = remote.search(queries, count, expression, asked, searching.params(count))
    scores = np.full((len(queries), count), -np.inf, dtype=np.float32)
    numbers = np.full((len(queries), count), -1, dtype=np.int64)
    rows: dict[int, IndexRow] = {}
    for place, hits in enumerate(answers):
        for at, hit in enumerate(hits):
            entity = hit["entity"]
            number = numbers[place, at] = int(entity["number"])
            scores[place, at] = (
                np.asarray(entity["vector"], np.float32) @ queries[place] if rescored else hit["distance"]
            )
            if fields and int(number) not in rows:
                rows[int(number)] = row_of({**entity, "id": hit["id"]})
    return merged([Nearest(scores, numbers)], k), rows


def by_bm25(remote: Remote, queries: Sequence[str], k: int, expression: str) -> Nearest:
    """The k best rows of Q texts by Milvus's BM25, by number."""
    found = Nearest(np.full((len(queries), k), -np.inf, np.float32), np.full((len(queries), k), -1, np.int64))
    texts = [" ".join(split_words(query)) for query in queries]
    asked = [place for place, text in enumerate(texts) if text]
    if not k or not asked:
        return found
    answers = remote.search_words([texts[place] for place in asked], min(k, MOST_HITS), expression)
    for place, hits in zip(asked, answers, strict=True):
        for at, hit in enumerate(hits):
            found.scores[place, at] = abs(hit["distance"])  # Milvus Lite returns negative scores
            found.rows[place, at] = int(hit["entity"]["number"])
    return found


def tune_effort(
    remote: Remote,
    name: str,
    index: MilvusIndex,
    target: float,
    rows: int,
    queries: Vectors,
    chunks: Iterable[tuple[NDArray[np.int64], Vectors]],
) -> Searched:
    """The smallest effort whose recall of the 10 nearest for the queries (Q, D) is at least ``target``; else the
    largest.

    The true neighbors come from comparing all vectors, which are read in ``chunks``.
    """
    top = min(TOP, rows)
    best_scores: Vectors = np.zeros((len(queries), 0), np.float32)
    for _, vectors in chunks:
        found = exact_nearest(queries, vectors, top)
        best_scores = -np.sort(-np.concatenate([best_scores, found.scores], axis=1), axis=1)[:, :top]
    bound = best_scores[:, -1:] - _EQUAL
    best: Searched | None = None
    for effort in index.efforts:
        searching = Searching(index, effort)
        near, _ = nearest(remote, queries, top, "", [], searching)
        recall = float(np.minimum((near.scores >= bound).sum(1), top).mean() / top)
        if best is None or recall > best.recall:
            best = Searched(
                kind=name,
                rows=rows,
                effort=effort,
                candidates=searching.candidates(TOP),
                recall=recall,
                queries=len(queries),
            )
        if recall >= target:
            break
    assert best is not None
    return best


def drawn(live: NDArray[np.int64], seed: int = 0) -> NDArray[np.int64]:
    """Rows to use as queries."""
    return np.sort(np.random.default_rng(seed).choice(live, min(_QUERIES, len(live)), replace=False))


def beside(vectors: Vectors, seed: int = 0) -> Vectors:
    """Unit queries near unit vectors (Q, D), because a graph finds its own rows too easily."""
    noise = np.random.default_rng(seed).normal(size=vectors.shape).astype(np.float32)
    return normalized(vectors + _NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True).astype(np.float32))
