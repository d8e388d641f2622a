"""Which rows may be near: FAISS structures over an index's first rows, tuned to a recall, read from a mapped file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.errors import SearchIndexError
from simcse_kit.search.blocks import BlockFile
from simcse_kit.search.kinds import KINDS, ApproximateKind, IndexKind, get_kind
from simcse_kit.search.making import making
from simcse_kit.search.vectors import Mask, VectorParts
from simcse_kit.types import Vectors

AUTO_FLAT = 20_000  # rows up to which an exact search takes about 2 ms
TARGET_RECALL = 0.99
TOP = 10  # recall is of so many
_QUERIES = 1000  # at most, to tune by
_CANDIDATES = (10, 16, 25, 40, 64, 100, 160, 250, 400, 640, 1000)
_ADDED = 1 << 14  # rows between two steps of the bar
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


def resolve_kinds(name: str, count: int) -> tuple[IndexKind, ...]:
    """The kind of a name (see `get_kind`); of auto those for ``count`` rows, the first that finds the target is taken.

    Auto compares every vector of up to `AUTO_FLAT` rows.
    """
    if name != "auto":
        return (get_kind(name),)
    turns = {kind.auto: kind for kind in KINDS if kind.auto is not None}
    large = count > AUTO_FLAT
    return tuple(turns[turn] for turn in sorted(turns) if isinstance(turns[turn], ApproximateKind) == large)


class Structure:
    """A kind's FAISS structure over the first ``rows`` rows."""

    def __init__(self, kind: ApproximateKind, index: Any, rows: int, setting: Setting) -> None:
        self.kind = kind
        self.index = index
        self.rows = rows
        self.setting = setting

    @classmethod
    def build(cls, kind: ApproximateKind, vectors: VectorParts, *, hold_out: bool = True, seed: int = 0) -> Structure:
        """Train on a part of the vectors, and add all; of a graph all but the last ones, see `tune`."""
        held_out = min(_QUERIES, len(vectors) // 10) if hold_out and kind.tuned_by_new_rows else 0
        with making(f"Training {kind.name}"):
            empty = cls(kind, kind.create(vectors, seed), 0, Setting(1, TOP))
        return empty.extended(vectors, len(vectors) - held_out)

    def extended(self, vectors: VectorParts, rows: int) -> Structure:
        """With the rows up to number ``rows`` added."""
        with making("Adding rows", max(0, rows - self.rows)) as added:
            for start, chunk in vectors.chunks(self.rows, _ADDED):
                part = chunk[: max(0, rows - start)]
                if len(part):
                    self.kind.add(self.index, part)
                    added(len(part))
        return Structure(self.kind, self.index, rows, self.setting)

    @classmethod
    def open(cls, kind: ApproximateKind, file: BlockFile, rows: int, setting: Setting) -> Structure:
        """Map a file of `write`; what leads to memory is checked, codes are not: a wrong one costs a candidate."""
        file.check(0, kind.checked_bytes(len(file.content)))
        try:
            index = kind.read(file.path)
        except RuntimeError as error:
            raise SearchIndexError(f"{file.path} is damaged: {error}") from error
        return cls(kind, index, rows, setting)

    def write(self, path: Path) -> None:
        """Write to a file, which is not yet a block file."""
        self.kind.write(self.index, path)

    def candidates(self, queries: Vectors, count: int, effort: int, allowed: Mask | None = None) -> NDArray[np.int64]:
        """Rows that may be the nearest of unit queries (Q, D): (Q, count), -1 for none."""
        selector = None
        if allowed is not None:
            import faiss

            bits = np.packbits(allowed[: self.rows], bitorder="little")
            selector = faiss.IDSelectorBitmap(self.rows, faiss.swig_ptr(bits))
        found = self.kind.search(self.index, queries, min(count, self.rows), effort, selector)
        if len(found) and int(found.max()) >= self.rows:
            raise SearchIndexError("the index's structure is damaged: it names a row that is not there; see verify")
        return found


def build_tuned(
    kind: ApproximateKind, vectors: VectorParts, target: float = TARGET_RECALL, queries: Vectors | None = None
) -> tuple[Structure, Tuned]:
    """A structure over all vectors, and the setting by which it finds ``target`` of the 10 nearest.

    Of the rows themselves, or of unit ``queries`` (Q, D).
    """
    structure = Structure.build(kind, vectors, hold_out=queries is None)
    with making(f"Tuning {kind.name} to a recall of {target:g}"):
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
    kind = structure.kind
    for effort in kind.efforts(structure.index):
        most_found = min(_CANDIDATES[-1] + 1, kind.most_candidates(effort, structure.rows))
        found = structure.candidates(queries, most_found, effort)
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
