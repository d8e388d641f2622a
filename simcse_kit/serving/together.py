"""Batches of queries from several requests, searched in one call."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from simcse_kit.index import SentenceIndex
from simcse_kit.search import Hit
from simcse_kit.search.modes import SearchMode
from simcse_kit.types import Vectors


class SharedSearch(NamedTuple):
    """Settings that queries must share to be searched together."""

    k: int
    threshold: float | None
    filter: str | None  # as JSON
    mode: SearchMode
    fingerprint: str | None  # fingerprint of the vectors' model; None: no vectors


class BatchedQuery(NamedTuple):
    text: str
    vector: Vectors | None  # (D,)
    shared: SharedSearch


def search_together(index: SentenceIndex, queries: Sequence[BatchedQuery], shared: SharedSearch) -> list[list[Hit]]:
    """Hits of queries that are searched together."""
    filter = None if shared.filter is None else json.loads(shared.filter)
    vectors = None if shared.fingerprint is None else np.stack([query.vector for query in queries])  # type: ignore[misc]
    if vectors is not None and shared.mode == "dense":
        return index.search_vectors(vectors, shared.k, shared.threshold, filter, fingerprint=shared.fingerprint)
    texts = [query.text for query in queries]
    return index.search_words(texts, shared.k, filter, vectors=vectors, fingerprint=shared.fingerprint)
