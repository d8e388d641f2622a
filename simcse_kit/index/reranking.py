"""Hits of a search in the order of a cross-encoder, which reads the query and each text together."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from simcse_kit.errors import SearchIndexError
from simcse_kit.search.rows import Hit

CANDIDATES = 50  # hits of a search that are reranked, at least


class Scorer(Protocol):
    """A `CrossEncoder`, ours or sentence-transformers'."""

    def predict(self, inputs: list[tuple[str, str]], /) -> Any:
        """Scores of N pairs, (N,)."""


class Reranked(NamedTuple):
    """Hits in a new order, and what it cost."""

    hits: list[Hit]  # best first; their score is the cross-encoder's
    search_scores: list[float]  # that the hits had in the search
    pairs: int  # that the cross-encoder read
    seconds: float


def rerank(encoder: Scorer, query: str, hits: Sequence[Hit], k: int | None = None) -> Reranked:
    """The ``k`` best of the hits of a search (None: all), by the scores that a cross-encoder gives query and text.

    Search for more hits than are wanted, 50 for instance: what the search does not find cannot be reranked. Of equal
    scores, the order of the search stays.

    Args:
        encoder: a `CrossEncoder`, or an object whose ``predict`` scores pairs of texts.
        query: what was searched for.
        hits: of the search, best first.
        k: how many to keep.

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
    """How many hits of a search to rerank for ``k``: as asked for, else 50 or ``k``, whichever is more.

    Raises:
        SearchIndexError: fewer than ``k``.
    """
    if candidates is not None and candidates < k:
        raise SearchIndexError(f"candidates must be at least the {k} hits that are wanted of them; got {candidates}")
    return max(CANDIDATES, k) if candidates is None else candidates
