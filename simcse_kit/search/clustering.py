"""Topics of a corpus: k-means over its vectors, with the words of each cluster and the sentences nearest its center."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.errors import SearchIndexError
from simcse_kit.search.base import BaseCollection
from simcse_kit.search.class_words import class_keywords, readable_words
from simcse_kit.search.cross_tab import CrossTab, cross_tab
from simcse_kit.search.number_of_clusters import ClusterChoice, choose_number, spherical_kmeans
from simcse_kit.search.rows import Hit, IndexRow
from simcse_kit.tabular import html_table
from simcse_kit.types import Vectors
from simcse_kit.wording import counted

_BATCH = 1024  # rows read at a time
MOST_READ = 100_000  # rows used for word counts


class Cluster(NamedTuple):
    """Rows around a center."""

    size: int
    cohesion: float  # mean cosine of its rows with the center
    nearest: list[Hit]  # the rows nearest the center, best first
    keywords: list[str]  # words that distinguish it from the other clusters, best first


class Clusters(NamedTuple):
    """The rows of a collection in K clusters, largest first."""

    clusters: list[Cluster]
    centres: Vectors  # (K, D), unit
    numbers: NDArray[np.int64]  # (N,): row numbers in the collection
    labels: NDArray[np.int64]  # (N,): cluster of each row
    collection: BaseCollection
    choice: ClusterChoice | None = None  # how K was chosen; None: by the caller

    def __repr__(self) -> str:
        return f"Clusters({counted(len(self.clusters), 'cluster')} of {counted(len(self.labels), 'sentence')})"

    def rows(self) -> Iterator[tuple[IndexRow, int]]:
        """Iterate over all rows with their clusters, in batches."""
        return _labelled(self.collection, self.numbers, self.labels)

    def cross_tab(self, field: str) -> CrossTab:
        """Count the rows of each cluster by the value of a metadata field.

        Raises:
            SearchIndexError: a field that no row has, or one with more than 1,000 values.
        """
        self.collection.check_field(field, "cross_tab counts")
        return cross_tab(self.rows(), len(self.clusters), field)

    def to_dataframe(self, *, rows: bool = False) -> Any:
        """A ``pandas.DataFrame`` with one row per cluster or, with ``rows``, per row: id, text, cluster."""
        import pandas as pd

        if rows:
            return pd.DataFrame([{"id": row.id, "text": row.text, "cluster": label} for row, label in self.rows()])
        return pd.DataFrame(list(self._records()))

    def _records(self) -> Iterator[dict[str, Any]]:
        for label, one in enumerate(self.clusters):
            found = {"cluster": label, "size": one.size, "cohesion": one.cohesion, "keywords": one.keywords}
            yield found | {"nearest": [hit.text for hit in one.nearest]}

    def _repr_html_(self) -> str:
        rows = (
            row | {"keywords": ", ".join(row["keywords"]), "nearest": " · ".join(row["nearest"])}
            for row in self._records()
        )
        return html_table(rows, repr(self))


def cluster_rows(
    collection: BaseCollection,
    n_clusters: int | Literal["auto"],
    *,
    examples: int = 3,
    keywords: int = 8,
    seed: int = 0,
) -> Clusters:
    """Spherical k-means (FAISS): K clusters of rows, each with its keywords and the rows nearest its center.

    Args:
        collection: the rows to cluster.
        n_clusters: K; "auto" chooses it by the silhouette of a sample, see `choose_number`.
        examples: number of rows to describe each cluster.
        keywords: number of words to describe each cluster, by class-based TF-IDF; from more than 100,000 rows, a sample
            is read.
        seed: random seed of the first centers and of the samples.

    Raises:
        SearchIndexError: fewer rows than clusters, or fewer than one cluster.
    """
    collection = collection.now()  # rows are read again later, by number
    k, choice = _number(n_clusters, len(collection)), None
    numbers, vectors = collection.unit_vectors()
    if k is None:
        choice = choose_number(vectors, seed)
        k = choice.n_clusters
    centres, labels, scores = spherical_kmeans(vectors, k, niter=25, seed=seed)
    order = np.argsort(-np.bincount(labels, minlength=k), kind="stable")
    place = np.empty(k, np.int64)
    place[order] = np.arange(k)
    labels = place[labels]
    words = _keywords(collection, numbers, labels, k, keywords, seed)
    found = []
    for label in range(k):
        own = np.flatnonzero(labels == label)
        best = own[np.argsort(-scores[own], kind="stable")[:examples]]
        rows = collection.fetch(numbers[best].tolist())
        hits = [Hit.of(rows[int(numbers[i])], scores[i]) for i in best]
        found.append(Cluster(len(own), float(scores[own].mean()) if len(own) else 0.0, hits, words[label]))
    return Clusters(found, centres[order], numbers, labels, collection, choice)


def _number(n_clusters: int | str, rows: int) -> int | None:
    """The requested K; None: choose it."""
    if n_clusters == "auto" and rows:
        return None
    if isinstance(n_clusters, str) or not 1 <= n_clusters <= rows:
        raise SearchIndexError(
            f'n_clusters must be between 1 and the number of sentences, {rows:,}, or "auto"; got {n_clusters!r}'
        )
    return n_clusters


def _keywords(
    collection: BaseCollection,
    numbers: NDArray[np.int64],
    labels: NDArray[np.int64],
    k: int,
    top: int,
    seed: int,
) -> list[list[str]]:
    """Keywords of each cluster."""
    if len(numbers) > MOST_READ:
        drawn = np.sort(np.random.default_rng(seed).choice(len(numbers), MOST_READ, replace=False))
        numbers, labels = numbers[drawn], labels[drawn]
    counts: list[Counter[str]] = [Counter() for _ in range(k)]
    for row, label in _labelled(collection, numbers, labels):
        counts[label].update(readable_words(row.text))
    return class_keywords(counts, top)


def _labelled(
    collection: BaseCollection, numbers: NDArray[np.int64], labels: NDArray[np.int64]
) -> Iterator[tuple[IndexRow, int]]:
    for at in range(0, len(numbers), _BATCH):
        part = numbers[at : at + _BATCH].tolist()
        fetched = collection.fetch(part)
        for number, label in zip(part, labels[at : at + _BATCH].tolist(), strict=True):
            yield fetched[number], label
