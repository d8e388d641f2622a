"""A map of a corpus: its vectors in two dimensions, and positions of other vectors on it."""

from __future__ import annotations

import importlib.util
import multiprocessing
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from simcse_kit.search import IndexRow
from simcse_kit.types import Vectors

_NEIGHBORS = 5  # nearest rows that place a vector on UMAP's map that was not fitted


def available_methods() -> list[str]:
    """Available methods for a map: pca, and umap if umap-learn is installed (the extra ``umap``)."""
    return ["pca", *(["umap"] if importlib.util.find_spec("umap") else [])]


@dataclass(frozen=True)
class CorpusMap:
    """Rows of an index with their points (N, 2), from -1 to 1 along the wider axis."""

    LARGEST: ClassVar[int] = 5000  # row numbers, a random sample of a large index

    method: str
    rows: Sequence[IndexRow]
    points: NDArray[np.float32]
    explained: float | None  # share of the variance, for PCA
    _vectors: Vectors
    _linear: tuple[NDArray[np.float32], NDArray[np.float32]] | None  # (D, 2) and (2,): projection of PCA
    fingerprint: str | None = None  # fingerprint of the vectors' model

    @classmethod
    def fit(cls, rows: Sequence[IndexRow], vectors: Vectors, method: str) -> CorpusMap:
        """The map of N rows with unit vectors (N, D). UMAP uses the cosine and a fixed seed.

        With fewer rows than UMAP accepts (15), PCA is used.
        """
        if method == "umap" and len(rows) > 3 * _NEIGHBORS:
            with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:  # it would block all threads
                points = other.submit(_umap, vectors).result()
            return cls(method, rows, _fitted(points)[0], None, vectors, None)
        axes, middle, explained = principal_axes(vectors)
        points, scale, offset = _fitted((vectors - middle) @ axes)
        linear = (axes * scale, offset - middle @ axes * scale)
        return cls("pca", rows, points, explained, vectors, linear)

    def place(self, vectors: Vectors) -> NDArray[np.float32]:
        """Positions of unit vectors (Q, D): (Q, 2). Exact for PCA; for UMAP between the nearest rows."""
        if self._linear is not None:
            placed: NDArray[np.float32] = vectors @ self._linear[0] + self._linear[1]
            return placed
        cosine = vectors @ self._vectors.T
        near = np.argsort(-cosine, axis=1)[:, :_NEIGHBORS]
        weights = np.exp(20 * np.take_along_axis(cosine, near, axis=1))  # the nearest row dominates
        weighted: NDArray[np.float32] = np.einsum(
            "qn,qnp->qp", weights / weights.sum(1, keepdims=True), self.points[near]
        )
        return weighted


def principal_axes(vectors: Vectors) -> tuple[NDArray[np.float32], NDArray[np.float32], float]:
    """The two directions (D, 2) of largest variance of (N, D), the mean (D,), and their share of the variance.

    Signs are fixed so that the largest component of each is positive; equal vectors give equal maps.
    """
    width = vectors.shape[1]
    if not len(vectors):
        return np.eye(width, 2, dtype=np.float32), np.zeros(width, np.float32), 0.0
    middle = vectors.mean(0)
    centred = (vectors - middle).astype(np.float64)
    values, directions = np.linalg.eigh(centred.T @ centred)
    axes = directions[:, ::-1][:, :2]
    if axes.shape[1] < 2:
        axes = np.hstack([axes, np.zeros((width, 2 - axes.shape[1]))])
    axes = axes * np.where(axes[np.abs(axes).argmax(0), [0, 1]] < 0, -1, 1)
    total = float(values.sum())
    explained = float(values[::-1][:2].sum()) / total if total > 0 else 0.0
    return axes.astype(np.float32), middle.astype(np.float32), explained


def _fitted(points: NDArray[Any]) -> tuple[NDArray[np.float32], float, NDArray[np.float32]]:
    """Points (N, 2) scaled to the square from -1 to 1, with the scale and the offset (2,) used."""
    if not len(points):
        return np.zeros((0, 2), np.float32), 1.0, np.zeros(2, np.float32)
    low, high = points.min(0), points.max(0)
    widest = float((high - low).max())
    scale = 2 / widest if widest > 0 else 1.0
    offset = (-(low + high) / 2 * scale).astype(np.float32)
    return (points * scale + offset).astype(np.float32), scale, offset


def _umap(vectors: Vectors) -> NDArray[np.float32]:
    import warnings

    import umap

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a seed limits it to one core
        reducer = umap.UMAP(n_neighbors=15, min_dist=0.1, metric="cosine", random_state=0)
        points: NDArray[np.float32] = np.nan_to_num(reducer.fit_transform(vectors))
    return points
