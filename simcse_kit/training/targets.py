"""Targets that an objective makes from nearest texts: computed once, stored in the run's folder, reused on resume."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.bars import tqdm
from simcse_kit.errors import TrainingError
from simcse_kit.files import read_json, staged_folder, write_json
from simcse_kit.model import SimCSE
from simcse_kit.objectives import OBJECTIVES, Neighborhood, Objective, local_scale
from simcse_kit.search.collection import Collection
from simcse_kit.types import Vectors

FOLDER = "targets"
_RECORD, _FILE = "targets.json", "targets.npy"
_READ = 1 << 13  # texts per encoding step
_COMMITTED = 1 << 18  # maximum number of vectors in memory before they are written to the disk
_BLOCK = 1 << 10  # neighborhoods in memory at a time: 80 MiB with 50 neighbors and 384 dimensions


class Targets:
    """Vectors of M distinct texts (M, D), read by row: ``targets[rows]`` is (b, V, D)."""

    def __init__(self, vectors: Vectors, texts: NDArray[np.int64]) -> None:
        self.vectors = vectors
        self.texts = texts  # (N, V): number of each row's texts

    def __getitem__(self, rows: Sequence[int]) -> Vectors:
        return np.asarray(self.vectors[self.texts[rows]])


def targets_mark(texts: Sequence[str], teacher: str, objective: Objective) -> str:
    """SHA-256 of everything that determines the targets; ``teacher`` is a model's fingerprint."""
    settings = {field.name: getattr(objective, field.name) for field in fields(objective)}
    digest = hashlib.sha256(json.dumps([OBJECTIVES.path_of(type(objective)), settings, teacher]).encode())
    for text in texts:
        content = text.encode()
        digest.update(b"%d:%b" % (len(content), content))
    return digest.hexdigest()


def read_targets(folder: Path, mark: str) -> Vectors | None:
    """Stored targets (M, D) with this fingerprint, mapped from the disk; None if there are none."""
    record = folder / _RECORD
    if not record.is_file() or read_json(record, TrainingError).get("sha256") != mark:
        return None
    return np.load(folder / _FILE, mmap_mode="r")  # type: ignore[no-any-return]


def write_targets(
    folder: Path,
    mark: str,
    texts: Sequence[str],
    teacher: SimCSE,
    objective: Objective,
    *,
    show_progress_bar: bool = False,
) -> None:
    """Encode M distinct texts, find the nearest texts of each in an index, and write the objective's targets.

    Memory holds at most `_COMMITTED` vectors, plus (M, k) cosines and numbers.
    """
    shutil.rmtree(folder, ignore_errors=True)
    with staged_folder(folder) as staging:
        index = _indexed(staging / "index", texts, teacher, show_progress_bar=show_progress_bar)
        near = Near.of(index, objective.neighborhood)
        out = np.lib.format.open_memmap(
            staging / _FILE, mode="w+", dtype=np.float32, shape=(len(texts), index.dimension)
        )
        for at in range(0, len(texts), _BLOCK):
            rows = np.arange(at, min(at + _BLOCK, len(texts)))
            out[rows] = objective.targets(near.around(index, rows))
        out.flush()
        del out
        shutil.rmtree(staging / "index")
        write_json(staging / _RECORD, {"sha256": mark, "texts": len(texts)})


def _indexed(folder: Path, texts: Sequence[str], teacher: SimCSE, *, show_progress_bar: bool) -> Collection:
    """An index of the texts' vectors only, numbered from 0."""
    index = Collection(teacher.get_embedding_dimension())
    pending = 0
    with tqdm(total=len(texts), desc="Targets", unit="text", disable=not show_progress_bar) as progress:
        for at in range(0, len(texts), _READ):
            part = texts[at : at + _READ]
            index.add([""] * len(part), teacher.encode_document(part, normalize_embeddings=True))
            progress.update(len(part))
            pending += len(part)
            if pending >= _COMMITTED:
                index.save(folder, structure=False)
                pending = 0
    index.save(folder)
    return index


class Near(NamedTuple):
    """The k nearest other texts of M texts, best first. Missing ones have number 0 and cosine -inf."""

    rows: NDArray[np.int32]  # (M, k)
    scores: NDArray[np.float32]  # (M, k): cosines
    last: NDArray[np.float32]  # (M,): cosine of the farthest of them
    scale: NDArray[np.float32]  # (M,): see `local_scale`

    @classmethod
    def of(cls, index: Collection, k: int) -> Near:
        """Search for every row of the index."""
        count = len(index)
        near = cls(
            np.zeros((count, k), np.int32),
            np.full((count, k), -np.inf, np.float32),
            np.ones(count, np.float32),
            np.ones(count, np.float32),
        )
        for numbers, found in index.neighbors(min(k, count - 1), _BLOCK):
            width = found.rows.shape[1]
            near.rows[numbers, :width] = np.maximum(found.rows, 0)
            near.scores[numbers, :width] = found.scores
            there = np.maximum((found.rows >= 0).sum(axis=1), 1)
            near.last[numbers] = found.scores[np.arange(len(numbers)), there - 1]
            near.scale[numbers] = local_scale(found.scores)
        return near

    def around(self, index: Collection, texts: NDArray[np.int64]) -> Neighborhood:
        """What an objective receives for b texts."""
        near, scores = self.rows[texts], self.scores[texts]  # (b, k)
        vectors = index.vectors_at(near.ravel().tolist()).reshape(*near.shape, index.dimension)
        vectors[~np.isfinite(scores)] = 0
        return Neighborhood(
            own=index.vectors_at(texts.tolist()),
            near=vectors,
            scores=scores,
            farthest=self.last[near],
            scale=self.scale[texts],
            near_scale=self.scale[near],
        )
