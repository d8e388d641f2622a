"""Unit vectors of an index, in parts, mostly memory-mapped; exact search over them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.search.blocks import BlockFile
from simcse_kit.types import Vectors

CHUNK = 1 << 16  # rows compared at a time
_FEW = 256  # excluded rows of a chunk that are searched and dropped; with more, allowed rows are copied out
_SHARED = 1 << 22  # numbers, 16 MiB: about 1.5 ms per query on one core; more are shared between threads

Mask = NDArray[np.bool_]


class Nearest(NamedTuple):
    """The best rows of Q queries, best first; -1 and -inf if there are fewer."""

    scores: Vectors  # (Q, k)
    rows: NDArray[np.int64]  # (Q, k)


class VectorPart(NamedTuple):
    """Consecutive rows."""

    start: int  # number of the first one
    vectors: Vectors  # (n, D)
    file: BlockFile | None  # the mapped file, if any

    def check(self, first: int, end: int) -> None:
        """Check the mapped data of these rows."""
        if self.file is not None and not self.file.checked:
            width = 4 * self.vectors.shape[1]
            self.file.check(first * width, end * width)


class VectorParts:
    """N vectors (N, D) as consecutive parts."""

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
        """Exact: the rows from ``first`` on with the largest inner products with unit queries (Q, D).

        ``allowed`` (N,): which rows to search.
        """
        rows = max(1, len(self) - first)
        threads = 1 if rows * self.dimension <= _SHARED else _threads()
        size = -(-rows // threads)  # without ``allowed``, nothing is copied

        def search(chunk: tuple[int, Vectors]) -> Nearest:
            start, vectors = chunk
            choice = None if allowed is None else allowed[start : start + len(vectors)]
            return _of_chunk(queries, vectors, k, start, choice)

        best = Nearest(np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64))
        chunks = self.chunks(first, size if allowed is None else min(size, CHUNK))
        for found in _side_by_side(search, chunks, threads):
            best = merged([best, found], k)
        return best

    def nearest_of(self, queries: Vectors, k: int, rows: NDArray[np.int64]) -> Nearest:
        """Exact, among these n rows only."""
        best = Nearest(np.zeros((len(queries), 0), np.float32), np.zeros((len(queries), 0), np.int64))
        for at in range(0, len(rows), CHUNK):
            some = rows[at : at + CHUNK]
            found = exact_nearest(queries, self.take(some), k)
            best = merged([best, Nearest(found.scores, np.where(found.rows < 0, -1, some[found.rows]))], k)
        return best

    def rescored(self, queries: Vectors, candidates: NDArray[np.int64], k: int) -> Nearest:
        """Exact: the best of each query's C candidates (Q, C), -1 for none."""
        flat = candidates.ravel()
        scores = np.full(flat.shape, -np.inf, np.float32)
        several = len(self.parts) > 1
        owner = np.searchsorted(self._starts, flat, side="right") - 1 if several else np.minimum(flat, 0)  # -1: none
        for number in np.flatnonzero(np.bincount(owner + 1)[1:]):
            part, places = self.parts[number], np.flatnonzero(owner == number)
            rows = flat[places] - part.start
            if part.file is not None and not part.file.checked:
                part.file.check_items(rows, 4 * self.dimension)
            scores[places] = _products(queries, places // candidates.shape[1], part.vectors, rows)
        return merged([Nearest(scores.reshape(candidates.shape), candidates)], k)


def normalized(vectors: Vectors) -> Vectors:
    """The same vectors, scaled to length 1 in place; a zero vector stays zero."""
    import faiss

    if vectors.size:
        largest = np.maximum(vectors.max(axis=1), -vectors.min(axis=1)).astype(np.float64)
        extreme = (largest > 1e15) | ((largest < 1e-15) & (largest > 0))  # their squares exceed float32's range
        if extreme.any():
            vectors[extreme] = vectors[extreme] / largest[extreme, None]
    faiss.normalize_L2(vectors)
    return vectors


def merged(found: list[Nearest], k: int) -> Nearest:
    """The k best of several results, ties by row."""
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


def _products(queries: Vectors, asked: NDArray[np.int64], vectors: Vectors, rows: NDArray[np.int64]) -> Vectors:
    """Inner products of n pairs (n,): a query (Q, D) by number and a row of the vectors, without copies."""
    import faiss

    out = np.empty(len(rows), np.float32)
    pointer = faiss.swig_ptr
    with _limited(min(len(queries), _threads())):  # a single query does not wait for idle threads
        faiss.pairwise_indexed_inner_product(  # type: ignore[attr-defined]
            queries.shape[1],
            len(rows),
            pointer(queries),
            pointer(asked),
            pointer(vectors),
            pointer(rows),
            pointer(out),
        )
    return out


def _threads() -> int:
    """Number of threads that FAISS may use here."""
    import faiss

    return int(faiss.omp_get_max_threads())


@contextmanager
def _limited(threads: int) -> Iterator[None]:
    """Inside the context, FAISS uses ``threads`` threads for calls of this thread."""
    import faiss

    before = _threads()
    faiss.omp_set_num_threads(threads)  # for the calling thread only
    try:
        yield
    finally:
        faiss.omp_set_num_threads(before)


def _side_by_side(
    function: Callable[[tuple[int, Vectors]], Nearest], chunks: Iterator[tuple[int, Vectors]], threads: int
) -> Iterator[Nearest]:
    """Results of a function for each chunk, in order; ``threads`` chunks are searched at a time, one thread each.

    FAISS uses one thread per query, and its threads wait for one another at each block of a batch.
    """

    def alone(chunk: tuple[int, Vectors]) -> Nearest:
        with _limited(1):
            return function(chunk)

    if threads == 1:
        yield from map(function, chunks)
        return
    with ThreadPoolExecutor(threads) as pool:
        while some := list(islice(chunks, threads)):
            yield from pool.map(alone, some)
