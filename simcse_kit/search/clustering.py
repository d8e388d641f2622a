"""What a corpus is about: k-means over its vectors, and the sentence nearest each centre."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.errors import SearchIndexError
from simcse_kit.search.base import BaseCollection
from simcse_kit.search.rows import Hit, IndexRow
from simcse_kit.types import Vectors


class Cluster(NamedTuple):
    """Rows around a centre."""

    size: int
    cohesion: float  # mean cosine of its rows with the centre
    nearest: list[Hit]  # the rows nearest the centre, best first


class Clusters(NamedTuple):
    """The rows of a collection in K clusters, largest first."""

    clusters: list[Cluster]
    centres: Vectors  # (K, D), unit
    numbers: NDArray[np.int64]  # (N,): rows of the collection
    labels: NDArray[np.int64]  # (N,): the cluster of each
    collection: BaseCollection

    def rows(self) -> Iterator[tuple[IndexRow, int]]:
        """Every row with its cluster."""
        for at in range(0, len(self.numbers), 1024):
            numbers = self.numbers[at : at + 1024].tolist()
            fetched = self.collection.fetch(numbers)
            for number, label in zip(numbers, self.labels[at : at + 1024].tolist(), strict=True):
                yield fetched[number], label


def cluster_rows(collection: BaseCollection, n_clusters: int, *, examples: int = 3, seed: int = 0) -> Clusters:
    """Spherical k-means (FAISS): K clusters of rows, each described by the ``examples`` rows nearest its centre.

    Raises:
        SearchIndexError: fewer rows than clusters, or less than one cluster.
    """
    import faiss

    collection = collection.now()  # its rows are read again later, by number
    if not 1 <= n_clusters <= len(collection):
        raise SearchIndexError(f"n_clusters is from 1 to the number of sentences, {len(collection)}; got {n_clusters}")
    numbers, vectors = collection.unit_vectors()
    kmeans = faiss.Kmeans(
        vectors.shape[1], n_clusters, niter=25, seed=seed + 1, spherical=True, min_points_per_centroid=1, nredo=1
    )
    kmeans.train(vectors)
    centres: Vectors = kmeans.centroids  # type: ignore[assignment]
    scores, labels = kmeans.index.search(vectors, 1)
    order = np.argsort(-np.bincount(labels[:, 0], minlength=n_clusters), kind="stable")
    place = np.empty(n_clusters, np.int64)
    place[order] = np.arange(n_clusters)
    labels, scores = place[labels[:, 0]], scores[:, 0]
    found = []
    for label in range(n_clusters):
        own = np.flatnonzero(labels == label)
        best = own[np.argsort(-scores[own], kind="stable")[:examples]]
        rows = collection.fetch(numbers[best].tolist())
        hits = [Hit.of(rows[int(numbers[i])], scores[i]) for i in best]
        found.append(Cluster(len(own), float(scores[own].mean()) if len(own) else 0.0, hits))
    return Clusters(found, centres[order], numbers, labels, collection)
