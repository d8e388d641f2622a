"""Reranks hits with a cross-encoder, which reads the query and each text together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from simcse_kit.errors import SearchIndexError
from simcse_kit.search.rows import Hit

CANDIDATES = 50  # fewest hits of a search to rerank


class Scorer(Protocol):
    """A `CrossEncoder`, ours or sentence-transformers'."""

    def predict(self, inputs: list[tuple[str, str]], /) -> Any:
        """Scores of N pairs, (N,)."""


class Reranked(NamedTuple):
    """Reranked hits, and the cost."""

    hits: list[Hit]  # best first; with the cross-encoder's scores
    search_scores: list[float]  # scores of these hits in the search
    pairs: int  # pairs that the cross-encoder read
    seconds: float


def rerank(encoder: Scorer, query: str, hits: Sequence[Hit], k: int | None = None) -> Reranked:
    """The ``k`` best of a search's hits (None: all), by a cross-encoder's scores of query and text.

    Search for more hits than you need, such as 50: what the search misses cannot be reranked. Equal scores keep the
    search's order.

    Args:
        encoder: a `CrossEncoder`, or an object whose ``predict`` scores pairs of texts.
        query: the search query.
        hits: hits of the search, best first.
        k: number of hits to keep.

    Raises:
        SearchIndexError: ``k`` below 1.
    """
    if k is not None and k < 1:
        raise SearchIndexError(f"k must be at least 1; got {k}")
    start = time.perf_counter()
    scores = [float(score) for score in encoder.predict([(query, hit.text) for hit in hits])] if hits else []
    order = sorted(range(len(hits)), key=lambda place: -scores[place])[:k]
    return Reranked(
        [hits[place]._replace(score=scores[place]) for place in order],
        [hits[place].score for place in order],
        len(hits),
        time.perf_counter() - start,
    )


def candidates_for(k: int, candidates: int | None) -> int:
    """How many hits of a search to rerank for ``k``: the given number, else 50 or ``k``, whichever is larger.

    Raises:
        SearchIndexError: fewer than ``k`` candidates.
    """
    if candidates is not None and candidates < k:
        raise SearchIndexError(f"candidates must be at least the {k} requested hits; got {candidates}")
    return max(CANDIDATES, k) if candidates is None else candidates
