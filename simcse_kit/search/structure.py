"""Which rows may be near: FAISS structures over an index's first rows, tuned to a recall, read from a mapped file."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.errors import SearchIndexError
from simcse_kit.search.blocks import BlockFile
from simcse_kit.search.vectors import Mask, VectorParts
from simcse_kit.types import Vectors

KINDS = {
    "flat": "exact: every vector is compared",
    "hnsw": "a graph of near rows (HNSW) over int8 vectors: the fastest for one query, slow to build",
    "ivf": "lists of near rows (IVF), whole vectors",
    "int8": "lists of near rows, vectors of one byte a dimension",
    "pq": "lists of near rows, product quantization: half a byte for 4 dimensions (fast scan)",
    "rabitq": "lists of near rows, RaBitQ: one bit a dimension",
    "binary": "signs alone, compared by Hamming distance: one bit a dimension",
}
"""Kinds of index and what they are; all but flat find candidates, whose exact scores decide."""

AUTO_FLAT = 20_000  # rows up to which an exact search takes about 2 ms
AUTO = ("pq", "int8")  # beyond, the first that finds the target: fast and small, or nearly lossless
TARGET_RECALL = 0.99
TOP = 10  # recall is of so many
_MOST_LISTS = 8192
_TRAINING_ROWS = 50  # for each list; FAISS asks for 39 or more
_QUERIES = 1000  # at most, to tune by
_CANDIDATES = (10, 16, 25, 40, 64, 100, 160, 250, 400, 640, 1000)
_CERTAIN = 2  # standard errors: 97 % of the samples of queries
_EQUAL = 1e-6  # rows whose scores differ by less are equally good answers


class Setting(NamedTuple):
    """How a structure is searched."""

    effort: int  # lists that are read (IVF), nodes that are kept (HNSW); nothing for binary
    candidates: int  # rows whose exact scores are computed


class Tuned(NamedTuple):
    """A setting and what it gives."""

    setting: Setting
    recall: float  # of the 10 nearest
    queries: int


def resolve_kind(kind: str, count: int) -> str:
    """The kind that is meant: one of `KINDS`, or a FAISS factory string; auto chooses by the number of rows."""
    if kind == "auto":
        return "flat" if count <= AUTO_FLAT else AUTO[0]
    if kind not in KINDS and not re.match(r"(IVF|HNSW)\d", kind):
        raise SearchIndexError(
            f"an index's kind is auto, {', '.join(KINDS)}, or a FAISS factory string that begins with IVF or HNSW; "
            f"got {kind!r}"
        )
    return kind


def factory_string(kind: str, count: int, dimension: int) -> str:
    """FAISS's name for a kind over so many rows.

    >>> factory_string("int8", 1_000_000, 384), factory_string("pq", 100_000, 384)
    ('IVF4096,SQ8', 'IVF1024,PQ96x4fs')
    """
    lists = min(_MOST_LISTS, 2 ** round(np.log2(4 * count**0.5)), max(1, count // _TRAINING_ROWS))
    parts = max(m for m in range(1, max(1, dimension // 4) + 1) if dimension % m == 0)
    codes = {"ivf": "Flat", "int8": "SQ8", "pq": f"PQ{parts}x4fs", "rabitq": "RaBitQ"}
    if kind in codes:
        return f"IVF{lists},{codes[kind]}"
    return "HNSW32_SQ8" if kind == "hnsw" else kind


class Structure:
    """A FAISS index over the first ``rows`` rows."""

    def __init__(self, index: Any, rows: int, setting: Setting) -> None:
        self.index = index
        self.rows = rows
        self.setting = setting

    @classmethod
    def build(cls, kind: str, vectors: VectorParts, *, hold_out: bool = True, seed: int = 0) -> Structure:
        """Train on a part of the vectors, and add all; of a graph all but the last ones, see `tune`."""
        import faiss

        count, dimension = len(vectors), vectors.dimension
        if kind == "binary":
            index: Any = faiss.IndexBinaryFlat(-(-dimension // 8) * 8)
            return cls(index, 0, Setting(1, TOP)).extended(vectors, count)
        factory = factory_string(kind, count, dimension)
        try:
            index = faiss.index_factory(dimension, factory, faiss.METRIC_INNER_PRODUCT)
        except RuntimeError as error:
            raise SearchIndexError(f"FAISS does not know {factory!r} for {dimension} dimensions: {error}") from error
        lists = index if isinstance(index, faiss.IndexIVF) else None
        if (lists is None or not lists.nlist) and not isinstance(index, faiss.IndexHNSW):
            raise SearchIndexError(f"{factory!r} is no plain IVF or HNSW index; hits are rescored in any case")
        if lists is not None:
            lists.cp.min_points_per_centroid = 1
            lists.cp.seed = seed + 1
        wanted = min(count, max(256 * 40, _TRAINING_ROWS * (lists.nlist if lists is not None else 0)))
        sample = np.sort(np.random.default_rng(seed).choice(count, wanted, replace=False))
        index.train(vectors.take(sample))
        held_out = min(_QUERIES, count // 10) if hold_out and isinstance(index, faiss.IndexHNSW) else 0
        return cls(index, 0, Setting(1, TOP)).extended(vectors, count - held_out)

    def extended(self, vectors: VectorParts, rows: int) -> Structure:
        """With the rows up to number ``rows`` added."""
        for start, chunk in vectors.chunks(self.rows):
            part = chunk[: max(0, rows - start)]
            if len(part):
                self.index.add(_signs(part) if self._binary else np.ascontiguousarray(part))
        return Structure(self.index, rows, self.setting)

    @classmethod
    def open(cls, file: BlockFile, rows: int, setting: Setting) -> Structure:
        """Map a file of `write`; what leads to memory is checked, codes are not: a wrong one costs a candidate."""
        import faiss

        kind, path, size = bytes(file.content[:2]), str(file.path), len(file.content)
        file.check(0, min(size, 1 << 16) if kind == b"Iw" else size)  # of lists the head, of others all
        try:
            binary = kind == b"IB"
            index = faiss.read_index_binary(path) if binary else faiss.read_index(path, faiss.IO_FLAG_MMAP_IFC)
        except RuntimeError as error:
            raise SearchIndexError(f"{path} is damaged: {error}") from error
        return cls(index, rows, setting)

    def write(self, path: Path) -> None:
        """Write to a file, which is not yet a block file."""
        import faiss

        (faiss.write_index_binary if self._binary else faiss.write_index)(self.index, str(path))

    @property
    def _binary(self) -> bool:
        import faiss

        return isinstance(self.index, faiss.IndexBinary)

    def candidates(self, queries: Vectors, count: int, effort: int, allowed: Mask | None = None) -> NDArray[np.int64]:
        """Rows that may be the nearest of unit queries (Q, D): (Q, count), -1 for none."""
        import faiss

        count = min(count, self.rows)
        selector: dict[str, Any] = {}
        if allowed is not None:
            bits = np.packbits(allowed[: self.rows], bitorder="little")
            selector = {"sel": faiss.IDSelectorBitmap(self.rows, faiss.swig_ptr(bits))}
        if self._binary:
            _, found = self.index.search(_signs(queries), count, params=faiss.SearchParameters(**selector))
        else:
            hnsw = isinstance(self.index, faiss.IndexHNSW)
            values = {"efSearch": max(effort, count)} if hnsw else {"nprobe": effort}
            made = faiss.SearchParametersHNSW if hnsw else faiss.SearchParametersIVF  # type: ignore[attr-defined]
            _, found = self.index.search(queries, count, params=made(**values, **selector))
        if len(found) and int(found.max()) >= self.rows:
            raise SearchIndexError("the index's structure is damaged: it names a row that is not there; see verify")
        return found  # type: ignore[no-any-return]

    def most_candidates(self, effort: int) -> int:
        """So many can be had without more effort: a graph keeps no more nodes than it returns, at least."""
        import faiss

        return effort if isinstance(self.index, faiss.IndexHNSW) else self.rows

    def efforts(self) -> Iterator[int]:
        """Efforts to try, least first."""
        import faiss

        if self._binary:
            yield 1
        elif isinstance(self.index, faiss.IndexHNSW):
            yield from (16, 32, 64, 128, 256, 512, 1024)
        else:
            lists = self.index.nlist
            effort = 1
            while effort < lists:
                yield effort
                effort = max(effort + 1, int(effort * 1.5))
            yield lists


def build_tuned(
    kind: str, vectors: VectorParts, target: float = TARGET_RECALL, queries: Vectors | None = None
) -> tuple[Structure, Tuned]:
    """A structure over all vectors, and the setting by which it finds ``target`` of the 10 nearest.

    Of the rows themselves, or of unit ``queries`` (Q, D).
    """
    structure = Structure.build(kind, vectors, hold_out=queries is None)
    tuned = tune(structure, vectors, target, queries=queries)
    return structure.extended(vectors, len(vectors)), tuned


def tune(
    structure: Structure,
    vectors: VectorParts,
    target: float = TARGET_RECALL,
    *,
    queries: Vectors | None = None,
    seed: int = 0,
) -> Tuned:
    """The fastest setting whose recall of the 10 nearest is at least ``target``; else the one with the most.

    At least, for other queries too: two standard errors below what was measured.

    Queries are those given, unit vectors (Q, D), or up to 1,000 rows. A graph leads too well to a row that is in it, so
    these are the last ones, which it does not have yet; lists and codes treat a row like any query, so these are any
    rows, each left out of its answers.
    """
    top = min(TOP, structure.rows - (1 if queries is None else 0))
    if queries is not None:
        queries = queries[:_QUERIES]
        rows = np.full(len(queries), -1)
    elif structure.rows < len(vectors):
        rows = np.arange(structure.rows, len(vectors))
    else:
        rows = np.sort(np.random.default_rng(seed).choice(structure.rows, min(_QUERIES, structure.rows), replace=False))
    queries = vectors.take(rows) if queries is None else queries
    truth = vectors.nearest(queries, top + 1, allowed=np.arange(len(vectors)) < structure.rows)
    wanted = np.where(truth.rows == rows[:, None], -np.inf, truth.scores)
    bound = (-np.sort(-wanted, axis=1)[:, top - 1] - _EQUAL).astype(np.float32)  # the 10th best score of each query
    best: tuple[float, Tuned] | None = None
    most = Tuned(Setting(1, TOP), -1.0, len(rows))
    for effort in structure.efforts():
        found = structure.candidates(queries, min(_CANDIDATES[-1] + 1, structure.most_candidates(effort)), effort)
        good = _good(vectors, queries, found, rows, bound)  # (Q, C): which of the candidates are right answers
        for candidates in (count for count in _CANDIDATES if count < found.shape[1]):
            shares = np.minimum(good[:, : candidates + 1].sum(1), top) / top  # of each query's nearest: (Q,)
            recall = float(shares.mean())
            setting = Setting(effort, candidates + 1)
            if recall > most.recall:
                most = Tuned(setting, recall, len(rows))
            if recall - _CERTAIN * shares.std() / len(shares) ** 0.5 >= target or recall == 1:
                seconds = _seconds(structure, vectors, queries[:100], setting)
                if best is None or seconds < best[0]:
                    best = seconds, Tuned(setting, recall, len(rows))
                break
        if best is not None and _seconds(structure, vectors, queries[:100], Setting(effort, TOP)) > best[0]:
            break  # more effort alone takes longer than what is good enough
    return most if best is None else best[1]


def _good(
    vectors: VectorParts, queries: Vectors, found: NDArray[np.int64], rows: NDArray[np.int64], bound: Vectors
) -> Mask:
    good = np.zeros(found.shape, dtype=bool)
    for i, candidates in enumerate(found):
        there = candidates >= 0
        scores = vectors.take(candidates[there]) @ queries[i]
        good[i, there] = (scores >= bound[i]) & (candidates[there] != rows[i])
    return good


def _seconds(structure: Structure, vectors: VectorParts, queries: Vectors, setting: Setting) -> float:
    """Time of the queries one by one."""
    began = time.perf_counter()
    for query in queries:
        found = structure.candidates(query[None], setting.candidates, setting.effort)
        vectors.rescored(query[None], found, TOP)
    return time.perf_counter() - began


def _signs(vectors: Vectors) -> NDArray[np.uint8]:
    return np.packbits(vectors > 0, axis=1)
