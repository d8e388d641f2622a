"""The unit vectors of an index, in parts, most of them memory-mapped; exact search over them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.search.blocks import BlockFile
from simcse_kit.types import Vectors

CHUNK = 1 << 16  # rows that are compared at once
_FEW = 256  # rows of a chunk that are found and thrown away; of more, the others are copied out
_GATHERED = 1 << 24  # numbers that are gathered at once, 64 MiB

Mask = NDArray[np.bool_]


class Nearest(NamedTuple):
    """The best rows of Q queries, best first; -1 and -inf where there are no more."""

    scores: Vectors  # (Q, k)
    rows: NDArray[np.int64]  # (Q, k)


class VectorPart(NamedTuple):
    """Rows that lie together."""

    start: int  # number of the first one
    vectors: Vectors  # (n, D)
    file: BlockFile | None  # where they are mapped from

    def check(self, first: int, end: int) -> None:
        """Check what the disk gives for these of its rows."""
        if self.file is not None and not self.file.checked:
            width = 4 * self.vectors.shape[1]
            self.file.check(first * width, end * width)


class VectorParts:
    """N vectors (N, D) as parts one behind the other."""

    def __init__(self, parts: list[VectorPart], dimension: int) -> None:
        self.parts = parts
        self.dimension = dimension
        self._starts = np.array([part.start for part in parts], dtype=np.int64)

    def __len__(self) -> int:
        return self.parts[-1].start + len(self.parts[-1].vectors) if self.parts else 0

    def take(self, rows: NDArray[np.int64]) -> Vectors:
        """Vectors of n rows, (n, D)."""
        out = np.empty((len(rows), self.dimension), dtype=np.float32)
        owner = np.searchsorted(self._starts, rows, side="right") - 1
        for number in np.unique(owner):
            part, here = self.parts[number], owner == number
            local = rows[here] - part.start
            if part.file is not None and not part.file.checked:
                part.file.check_items(local, 4 * self.dimension)
            out[here] = part.vectors[local]
        return out

    def chunks(self, first: int = 0, size: int = CHUNK) -> Iterator[tuple[int, Vectors]]:
        """(number of the first row, vectors) of at most ``size`` rows each, from row ``first`` on; not copied."""
        for part in self.parts:
            for at in range(max(0, first - part.start), len(part.vectors), size):
                end = min(at + size, len(part.vectors))
                part.check(at, end)
                yield part.start + at, part.vectors[at:end]

    def nearest(self, queries: Vectors, k: int, *, first: int = 0, allowed: Mask | None = None) -> Nearest:
        """Exact: of the rows from ``first`` on, those with the largest inner products with unit queries (Q, D).

        ``allowed`` (N,) says which may be found.
        """
        best = Nearest(np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64))
        chunk = CHUNK if allowed is not None else 1 << 40  # without a choice, whole parts
        for start, vectors in self.chunks(first, chunk):
            choice = None if allowed is None else allowed[start : start + len(vectors)]
            best = merged([best, _of_chunk(queries, vectors, k, start, choice)], k)
        return best

    def nearest_of(self, queries: Vectors, k: int, rows: NDArray[np.int64]) -> Nearest:
        """Exact, of these n rows only."""
        best = Nearest(np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64))
        for at in range(0, len(rows), CHUNK):
            some = rows[at : at + CHUNK]
            found = exact_nearest(queries, self.take(some), k)
            best = merged([best, Nearest(found.scores, np.where(found.rows < 0, -1, some[found.rows]))], k)
        return best

    def rescored(self, queries: Vectors, candidates: NDArray[np.int64], k: int) -> Nearest:
        """Exact: the best of each query's C candidates (Q, C), -1 for none."""
        scores = np.full(candidates.shape, -np.inf, np.float32)
        step = max(1, _GATHERED // max(1, candidates.shape[1] * self.dimension))
        for at in range(0, len(queries), step):
            some = candidates[at : at + step]
            vectors = self.take(np.maximum(some, 0).ravel()).reshape(*some.shape, self.dimension)
            products = np.matmul(vectors, queries[at : at + step, :, None])[..., 0]
            scores[at : at + step] = np.where(some >= 0, products, -np.inf)
        return merged([Nearest(scores, candidates)], k)


def normalized(vectors: Vectors) -> Vectors:
    """The same vectors, now of length 1, in place; a zero vector stays."""
    import faiss

    if vectors.size:
        largest = np.maximum(vectors.max(axis=1), -vectors.min(axis=1)).astype(np.float64)
        extreme = (largest > 1e15) | ((largest < 1e-15) & (largest > 0))  # their squares leave float32's range
        if extreme.any():
            vectors[extreme] = vectors[extreme] / largest[extreme, None]
    faiss.normalize_L2(vectors)
    return vectors


def merged(found: list[Nearest], k: int) -> Nearest:
    """The k best of several answers, equal scores by row."""
    scores = np.concatenate([one.scores for one in found], axis=1)
    rows = np.concatenate([one.rows for one in found], axis=1)
    order = np.lexsort((rows, -scores), axis=1)[:, :k]
    return Nearest(np.take_along_axis(scores, order, 1), np.take_along_axis(rows, order, 1))


def exact_nearest(queries: Vectors, vectors: Vectors, k: int) -> Nearest:
    """Exact: the n vectors (n, D) with the largest inner products with queries (Q, D); k is cut to n."""
    import faiss

    k = min(k, len(vectors))
    if not k:
        return Nearest(np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64))
    scores, rows = faiss.knn(queries, vectors, k, metric=faiss.METRIC_INNER_PRODUCT)
    return Nearest(scores, rows)


def _of_chunk(queries: Vectors, vectors: Vectors, k: int, start: int, allowed: Mask | None) -> Nearest:
    left_out = 0 if allowed is None else len(allowed) - int(np.count_nonzero(allowed))
    if allowed is not None and left_out > _FEW:
        rows = np.flatnonzero(allowed)
        found = exact_nearest(queries, vectors[rows], k)
        return Nearest(found.scores, np.where(found.rows < 0, -1, rows[found.rows] + start))
    scores, rows = exact_nearest(queries, vectors, k + left_out)
    if allowed is not None and left_out:
        out = (rows >= 0) & ~allowed[rows]
        scores, rows = np.where(out, -np.inf, scores), np.where(out, -1, rows)
    return Nearest(scores, np.where(rows < 0, -1, rows + start))
