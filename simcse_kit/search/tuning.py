"""Tuning: the settings with which a structure finds what an exact search finds, for few and for many hits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.errors import say_once
from simcse_kit.search.kinds import ApproximateKind
from simcse_kit.search.making import making
from simcse_kit.search.store import ForMore, StructureEntry, sealed
from simcse_kit.search.structure import QUERIES, TARGET_RECALL, TOP, Setting, Structure, resolve_kinds
from simcse_kit.search.vectors import Mask, Nearest, VectorParts
from simcse_kit.types import Vectors

MORE = (30, 100, 300, 1000)  # numbers of hits that a structure is tuned for, besides `TOP`
_MORE_QUERIES = 200  # maximum number of queries for tuning to more hits
_ROWS_OF_A_HIT = 20  # with fewer rows per hit, an exact search is as fast
_CANDIDATES = (10, 16, 25, 40, 64, 100, 160, 250, 400, 640, 1000)  # candidates to try for 10 hits; more for more
_CERTAIN = 2  # standard errors: covers 97 % of samples of queries
_EQUAL = 1e-6  # scores that differ by less count as equal
_TIMED = 100  # queries to time a setting; a fifth of them for more hits


class Tuned(NamedTuple):
    """A setting with its measured recall and time."""

    setting: Setting
    recall: float  # of the `Setting.k` nearest
    queries: int


class _Asked(NamedTuple):
    """Q unit queries and their exact results."""

    vectors: Vectors  # (Q, D)
    rows: NDArray[np.int64]  # (Q,) the row that is the query; -1 for none
    scores: Vectors  # (Q, k): similarities of the k nearest other rows, best first


def write_tuned(path: Path, name: str, vectors: VectorParts, target: float, queries: Vectors | None) -> StructureEntry:
    """Build, tune and write a structure of the kind ``name`` over all vectors."""
    for kind in resolve_kinds(name, len(vectors)):
        assert isinstance(kind, ApproximateKind)
        structure, tuned, more = build_tuned(kind, vectors, target, queries)
        if tuned.recall >= target:
            break
    name = kind.name if name == "auto" else name
    if tuned.recall < target:
        say_once(
            f"{name} reaches a recall of {tuned.recall:.3f} of the 10 nearest, below the requested {target}; "
            "try another kind: --kind int8 or --kind hnsw",
            key=f"recall: {path.parent}",
        )
    path.touch(exist_ok=False)  # FAISS would write through a link
    structure.write(path)
    return StructureEntry(
        kind=name,
        rows=structure.rows,
        effort=tuned.setting.effort,
        candidates=tuned.setting.candidates,
        recall=tuned.recall,
        queries=tuned.queries,
        given=queries is not None,
        file=sealed(path),
        more=tuple(ForMore(**one.setting._asdict(), recall=one.recall) for one in more),
    )


def build_tuned(
    kind: ApproximateKind, vectors: VectorParts, target: float = TARGET_RECALL, queries: Vectors | None = None
) -> tuple[Structure, Tuned, list[Tuned]]:
    """A structure over all vectors, and settings with which it finds ``target`` of the 10 nearest, and of more hits.

    Tuned with the rows themselves, or with unit ``queries`` (Q, D).
    """
    structure = Structure.build(kind, vectors, hold_out=queries is None)
    with making(f"Tuning {kind.name} to a recall of {target:g}"):
        tuned = tune(structure, vectors, target, queries=queries)
        more = list(tune_for_more(structure, vectors, tuned, target, queries=queries))
    return structure.extended(vectors, len(vectors)), tuned, more


def tune(
    structure: Structure,
    vectors: VectorParts,
    target: float = TARGET_RECALL,
    *,
    queries: Vectors | None = None,
    seed: int = 0,
) -> Tuned:
    """The fastest setting with a recall of the 10 nearest of at least ``target``; else the one with the highest recall.

    The recall should hold for other queries too: the measured value minus two standard errors must reach it.

    Queries are the given unit vectors (Q, D), or up to 1,000 rows. A graph finds its own rows too easily, so it is
    tuned with the last rows, which are added afterwards. Lists and codes treat a row like any query, so any rows serve,
    each excluded from its own results.
    """
    top = min(TOP, structure.rows - (1 if queries is None else 0))
    asked = _asked(structure, vectors, queries, QUERIES, top, seed)
    return _fastest(structure, vectors, asked, top, target).tuned


def tune_for_more(
    structure: Structure,
    vectors: VectorParts,
    tuned: Tuned,
    target: float = TARGET_RECALL,
    *,
    queries: Vectors | None = None,
    seed: int = 0,
) -> Iterator[Tuned]:
    """Settings for the numbers of hits in `MORE`, in order. From the first missing one on, every vector is compared.

    A setting is missing if an exact search is as fast, or finds rows that the structure misses.
    """
    tops = [top for top in MORE if top * _ROWS_OF_A_HIT <= structure.rows]
    if not tops or tuned.recall < target:
        return
    asked = _asked(structure, vectors, queries, _MORE_QUERIES, tops[-1], seed)
    exact = _seconds(lambda query: vectors.nearest(query, tops[-1]), asked.vectors[: _TIMED // 5])
    for top in tops:
        best = _fastest(structure, vectors, asked, top, target, tuned.setting.effort)
        if not best.seconds < exact:
            return
        tuned = best.tuned
        yield tuned


class _Best(NamedTuple):
    tuned: Tuned
    seconds: float  # infinity: the recall is below the target


def _fastest(
    structure: Structure, vectors: VectorParts, asked: _Asked, top: int, target: float, least_effort: int = 0
) -> _Best:
    """The fastest setting that finds ``target`` of the ``top`` nearest, or the one that finds most."""
    kind, count = structure.kind, len(asked.vectors)
    most = best = _Best(Tuned(Setting(1, top, top), -1.0, count), np.inf)
    timed = asked.vectors[: _TIMED if top <= TOP else _TIMED // 5]
    bound = asked.scores[:, top - 1] - np.float32(_EQUAL)  # score of each query's last true neighbor

    def seconds(setting: Setting) -> float:
        return _seconds(lambda query: structure.nearest(vectors, query, top, setting), timed)

    for effort in kind.efforts(structure.index):
        counts = _counts(top, min(structure.rows, kind.most_candidates(effort, structure.rows)))
        if effort < least_effort or counts[-1] < min(top, structure.rows):
            continue
        found = structure.candidates(asked.vectors, counts[-1], effort)
        good = _good(vectors, asked, found, bound)  # (Q, C): which candidates are true neighbors
        for candidates in counts:
            shares = np.minimum(good[:, :candidates].sum(1), top) / top  # share of each query's nearest: (Q,)
            recall = float(shares.mean())
            tuned = Tuned(Setting(effort, candidates, top), recall, count)
            if recall > most.tuned.recall:
                most = _Best(tuned, np.inf)
            if recall - _CERTAIN * shares.std() / count**0.5 >= target or recall == 1:
                best = min(best, _Best(tuned, seconds(tuned.setting)), key=lambda one: one.seconds)
                break
        if seconds(Setting(effort, top, top)) > best.seconds:
            break  # more effort takes longer than a setting that is good enough
    return best if best.seconds < np.inf else most


def _counts(top: int, most: int) -> list[int]:
    """Candidates to try for ``top`` hits and the query's own row, ascending; if ``most`` is small, all."""
    largest = min(most, max(_CANDIDATES[-1], 10 * top) + 1)
    return [count for each in _CANDIDATES if (count := each * top // TOP + 1) <= largest] or [most]


def _asked(
    structure: Structure, vectors: VectorParts, queries: Vectors | None, most: int, top: int, seed: int
) -> _Asked:
    """At most ``most`` queries, given ones or rows, with the ``top`` nearest rows of the structure."""
    if queries is not None:
        queries = queries[:most]
        rows = np.full(len(queries), -1)
    else:
        if structure.rows < len(vectors):
            rows = np.arange(structure.rows, len(vectors))[-most:]
        else:
            draw = np.random.default_rng(seed)
            rows = np.sort(draw.choice(structure.rows, min(most, structure.rows), replace=False))
        queries = vectors.take(rows)
    truth = vectors.nearest(queries, top + 1, allowed=np.arange(len(vectors)) < structure.rows)
    scores = np.where(truth.rows == rows[:, None], -np.inf, truth.scores)
    return _Asked(queries, rows, -np.sort(-scores, axis=1)[:, :top])


def _good(vectors: VectorParts, asked: _Asked, found: NDArray[np.int64], bound: Vectors) -> Mask:
    good = np.zeros(found.shape, dtype=bool)
    for i, candidates in enumerate(found):
        there = candidates >= 0
        scores = vectors.take(candidates[there]) @ asked.vectors[i]
        good[i, there] = (scores >= bound[i]) & (candidates[there] != asked.rows[i])
    return good


def _seconds(search: Callable[[Vectors], Nearest], queries: Vectors) -> float:
    """Time per query, one by one."""
    began = time.perf_counter()
    for query in queries:
        search(query[None])
    return (time.perf_counter() - began) / len(queries)
