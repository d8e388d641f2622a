"""Spherical k-means, and choosing the number of clusters."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.types import Vectors

_SMALLEST, _LARGEST = 2, 256  # numbers to try
_FITTED = 10_000  # rows clustered for each number
_COMPARED = 2_000  # rows for the silhouettes, which compare all their pairs
_ROWS_EACH = 4  # fewest rows per cluster, on average


class ClusterChoice(NamedTuple):
    """How a number of clusters was chosen; see `choose_number`."""

    n_clusters: int
    tried: list[tuple[int, float]]  # numbers of clusters with their mean silhouette, from -1 to 1
    fitted: int  # rows that were clustered for each
    compared: int  # rows whose silhouettes were computed

    def __str__(self) -> str:
        if not self.tried:
            few = f"{self.fitted:,} sentences are too few, or too similar, to compare other numbers"
            return f"{self.n_clusters} cluster: {few}"
        own, best = dict(self.tried)[self.n_clusters], max(mean for _, mean in self.tried)
        return (
            f"{self.n_clusters} clusters: the smallest of {len(self.tried)} numbers, from {self.tried[0][0]} to "
            f"{self.tried[-1][0]}, whose mean silhouette on {self.compared:,} sentences ({own:.3f}) is within "
            f"one standard error of the best ({best:.3f})"
        )


class KMeans(NamedTuple):
    """K clusters of N vectors."""

    centres: Vectors  # (K, D), unit
    labels: NDArray[np.int64]  # (N,)
    cosines: NDArray[np.float32]  # (N,): of each vector with its center


def spherical_kmeans(vectors: Vectors, n_clusters: int, *, niter: int, seed: int) -> KMeans:
    """K-means of unit vectors (N, D) by cosine (FAISS), starting from centers that are far apart (k-means++).

    More than 256 centers start from random vectors: choosing them would take longer than the clustering.
    """
    import faiss

    kmeans = faiss.Kmeans(
        vectors.shape[1], n_clusters, niter=niter, seed=seed + 1, spherical=True, min_points_per_centroid=1, nredo=1
    )
    kmeans.train(vectors, init_centroids=_far_apart(vectors, n_clusters, seed) if n_clusters <= _LARGEST else None)
    scores, labels = kmeans.index.search(vectors, 1)
    return KMeans(kmeans.centroids, labels[:, 0], scores[:, 0])  # type: ignore[arg-type]


def _far_apart(vectors: Vectors, n_clusters: int, seed: int) -> Vectors:
    """First centers, from at most 10,000 of the vectors (Arthur and Vassilvitskii, 2007)."""
    from sklearn.cluster import kmeans_plusplus

    centres: Vectors = kmeans_plusplus(
        _sample(vectors, _FITTED, np.random.default_rng(seed)), n_clusters, random_state=seed
    )[0]
    return centres


def _sample(vectors: Vectors, most: int, draw: np.random.Generator) -> Vectors:
    """A random sample of the vectors, no larger than the limit."""
    if len(vectors) <= most:
        return vectors
    return vectors[np.sort(draw.choice(len(vectors), most, replace=False))]


def choose_number(vectors: Vectors, seed: int = 0) -> ClusterChoice:
    """The number of clusters, from 2 to 256, by the mean silhouette (Rousseeuw, 1987) of a sample, by cosine.

    It is the smallest number whose mean is within one standard error of the highest (Breiman et al., 1984), because the
    mean often stays nearly the same over a wide range.

    The numbers tried grow by half an octave: 2, 3, 4, 6, 8, 11, 16, ... Each is tried on at most 10,000 random vectors
    and measured on 2,000 of them, so the time is bounded for any N.
    """
    from sklearn.metrics import silhouette_samples

    draw = np.random.default_rng(seed)
    vectors = _sample(vectors, _FITTED, draw)
    compared = np.arange(len(vectors))
    if len(vectors) > _COMPARED:
        compared = np.sort(draw.choice(len(vectors), _COMPARED, replace=False))
    distances = np.clip(1 - vectors[compared] @ vectors[compared].T, 0, 2)
    np.fill_diagonal(distances, 0)
    tried: list[tuple[int, float]] = []
    errors = []  # standard errors of the means
    for number in _numbers(min(_LARGEST, len(vectors) // _ROWS_EACH)):
        labels = spherical_kmeans(vectors, number, niter=15, seed=seed).labels[compared]
        if 1 < len(np.unique(labels)) < len(compared):
            own = silhouette_samples(distances, labels, metric="precomputed")
            tried.append((number, float(own.mean())))
            errors.append(float(own.std() / np.sqrt(len(own))))
    best = max(range(len(tried)), key=lambda place: tried[place][1], default=None)
    least = -1.0 if best is None else tried[best][1] - errors[best]
    chosen = next((number for number, mean in tried if mean >= least), 1)
    return ClusterChoice(chosen, tried, len(vectors), len(compared))


def _numbers(largest: int) -> list[int]:
    """Numbers from 2 on, each about 1.4 times the previous one."""
    steps = range(2 * int(np.log2(max(largest, 1))) + 1)
    return [number for number in sorted({round(_SMALLEST * 2 ** (step / 2)) for step in steps}) if number <= largest]
