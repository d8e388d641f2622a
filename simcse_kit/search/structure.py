"""Candidate search: FAISS structures over the first rows of an index, tuned to a recall, read from a mapped file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.errors import DamagedIndexError
from simcse_kit.search.blocks import BlockFile
from simcse_kit.search.kinds import KINDS, ApproximateKind, IndexKind, get_kind
from simcse_kit.search.making import making
from simcse_kit.search.vectors import Mask, Nearest, VectorParts
from simcse_kit.types import Vectors

AUTO_FLAT = 20_000  # up to this many rows an exact search takes about 2 ms
TARGET_RECALL = 0.99
TOP = 10  # recall is measured for this many nearest rows
QUERIES = 1000  # maximum number of queries for tuning
_ADDED = 1 << 14  # rows between two steps of the bar


class Setting(NamedTuple):
    """Search settings of a structure."""

    effort: int  # lists to read (IVF), nodes to keep (HNSW); no effect for binary
    candidates: int  # rows whose exact scores are computed
    k: int = TOP  # tuned for this many hits


def resolve_kinds(name: str, count: int) -> tuple[IndexKind, ...]:
    """The kinds to try for a name (see `get_kind`) and ``count`` rows; for auto, the first that reaches the target is
    used.

    Auto uses exact search for up to `AUTO_FLAT` rows.
    """
    if name != "auto":
        return (get_kind(name),)
    turns = {kind.auto: kind for kind in KINDS if kind.auto is not None}
    large = count > AUTO_FLAT
    return tuple(turns[turn] for turn in sorted(turns) if isinstance(turns[turn], ApproximateKind) == large)


class Structure:
    """A kind's FAISS structure over the first ``rows`` rows."""

    def __init__(self, kind: ApproximateKind, index: Any, rows: int, settings: Sequence[Setting] = ()) -> None:
        self.kind = kind
        self.index = index
        self.rows = rows
        self.settings = settings  # settings for increasing numbers of hits
        self._file: BlockFile | None = None

    @classmethod
    def build(cls, kind: ApproximateKind, vectors: VectorParts, *, hold_out: bool = True, seed: int = 0) -> Structure:
        """Train on part of the vectors, and add all; for a graph all but the last ones, see `tune`."""
        held_out = min(QUERIES, len(vectors) // 10) if hold_out and kind.tuned_by_new_rows else 0
        with making(f"Training {kind.name}"):
            empty = cls(kind, kind.create(vectors, seed), 0)
        return empty.extended(vectors, len(vectors) - held_out)

    def extended(self, vectors: VectorParts, rows: int) -> Structure:
        """This with the rows up to number ``rows`` added."""
        with making("Adding rows", max(0, rows - self.rows)) as added:
            for start, chunk in vectors.chunks(self.rows, _ADDED):
                part = chunk[: max(0, rows - start)]
                if len(part):
                    self.kind.add(self.index, part)
                    added(len(part))
        return Structure(self.kind, self.index, rows, self.settings)

    @classmethod
    def open(
        cls, kind: ApproximateKind, file: BlockFile, rows: int, dimension: int, settings: Sequence[Setting]
    ) -> Structure:
        """Map a file of `write`. Data that are read now are checked now; mapped data when they are searched."""
        checked = kind.checked_bytes(len(file.content), rows, dimension)
        file.check(0, checked)
        try:
            index = kind.checking(kind.read(file.content), file, checked)
        except RuntimeError as error:
            raise DamagedIndexError(f"{file.path} is damaged: {error}") from error
        opened = cls(kind, index, rows, settings)
        opened._file = file  # FAISS reads from this memory
        return opened

    def write(self, path: Path) -> None:
        """Write to a file, which is not a block file yet."""
        self.kind.write(self.index, path)

    def setting_for(self, k: int) -> Setting | None:
        """Settings to find k hits; None: compare every vector."""
        return next((setting for setting in self.settings if k <= setting.k), None)

    def nearest(
        self, vectors: VectorParts, queries: Vectors, k: int, setting: Setting, allowed: Mask | None = None
    ) -> Nearest:
        """The k nearest of a setting's candidates, for unit queries (Q, D)."""
        found = self.candidates(queries, setting.candidates, setting.effort, allowed)
        return vectors.rescored(queries, found, k)

    def candidates(self, queries: Vectors, count: int, effort: int, allowed: Mask | None = None) -> NDArray[np.int64]:
        """Candidates for the nearest rows of unit queries (Q, D): (Q, count), -1 for none."""
        selector = None
        if allowed is not None:
            import faiss

            bits = np.packbits(allowed[: self.rows], bitorder="little")
            selector = faiss.IDSelectorBitmap(self.rows, faiss.swig_ptr(bits))
        found = self.kind.search(self.index, queries, min(count, self.rows), effort, selector)
        if len(found) and int(found.max()) >= self.rows:
            raise DamagedIndexError(
                "the index's structure is damaged: it names a row that does not exist; run simcse-kit index verify"
            )
        return found
