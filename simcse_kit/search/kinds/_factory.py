"""Kinds made from a FAISS factory string: inverted lists and graphs."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from simcse_kit.errors import SearchIndexError
from simcse_kit.search.kinds._base import ApproximateKind

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from simcse_kit.search.blocks import BlockFile
    from simcse_kit.search.vectors import VectorParts
    from simcse_kit.types import Vectors

_MOST_LISTS = 8192
_ROWS_OF_A_LIST = 50  # training vectors per centroid; FAISS asks for at least 39
_LEAST_TRAINING_ROWS = 256 * 40  # one-byte codes have 256 centroids
MILVUS_LISTS = 1024  # in each of Milvus's segments
MILVUS_PROBES = (4, 8, 16, 32, 64, 128, 256, 512, 1024)


@dataclass(frozen=True, kw_only=True)
class FactoryKind(ApproximateKind):
    """A kind with a name for FAISS's ``index_factory``."""

    @abstractmethod
    def factory(self, count: int, dimension: int) -> str:
        """FAISS's factory string for ``count`` rows."""

    @abstractmethod
    def lists(self, structure: Any) -> int | None:
        """Number of lists of a structure, 0 for a graph; None if it is neither and so not of this kind."""

    def least_rows(self, dimension: int) -> int:
        """The number of lists, or of a code's centroids if larger: FAISS trains each on at least one row."""
        import faiss

        structure = self._empty(0, dimension)
        codes = structure if self.lists(structure) else faiss.downcast_index(structure.storage)
        centres = codes.pq.ksub if hasattr(codes, "pq") else 0
        return max(2, self.lists(structure) or 0, centres)

    def create(self, vectors: VectorParts, seed: int) -> Any:
        """See `ApproximateKind.create`."""
        import numpy as np

        count = len(vectors)
        structure = self._empty(count, vectors.dimension)
        lists = self.lists(structure) or 0
        if lists:
            structure.cp.min_points_per_centroid = 1
            structure.cp.seed = seed + 1
        wanted = min(count, max(_LEAST_TRAINING_ROWS, _ROWS_OF_A_LIST * lists))
        sample = np.sort(np.random.default_rng(seed).choice(count, wanted, replace=False))
        try:
            structure.train(vectors.take(sample))
        except RuntimeError as error:
            raise SearchIndexError(f"FAISS cannot train {self.factory(count, vectors.dimension)!r}: {error}") from error
        return structure

    def _empty(self, count: int, dimension: int) -> Any:
        """An untrained structure."""
        import faiss

        factory = self.factory(count, dimension)
        try:
            structure: Any = faiss.index_factory(dimension, factory, faiss.METRIC_INNER_PRODUCT)
        except RuntimeError as error:
            raise SearchIndexError(f"FAISS does not know {factory!r} for {dimension} dimensions: {error}") from error
        if self.lists(structure) is None:
            raise SearchIndexError(
                f"{factory!r} is not a plain IVF or HNSW index; hits are rescored anyway, so leave out refinement"
            )
        return structure


@dataclass(frozen=True, kw_only=True)
class InvertedLists(FactoryKind):
    """Rows in lists around centroids; a search reads the nearest lists (FAISS: IVF). The effort is their number."""

    codes: Callable[[int], str] | None = field(default=None, repr=False)  # FAISS's name for the codes, by dimension
    given: str | None = None  # the whole factory string, instead of ``codes``

    def factory(self, count: int, dimension: int) -> str:
        """See `FactoryKind.factory`.

        >>> codes = InvertedLists(name="int8", help="", codes=lambda dimension: "SQ8")
        >>> codes.factory(1_000_000, 384), codes.factory(100, 384)
        ('IVF4096,SQ8', 'IVF2,SQ8')
        """
        if self.codes is None:
            return self.given or self.name
        lists = min(_MOST_LISTS, 2 ** round(math.log2(max(1, 4 * count**0.5))), max(1, count // _ROWS_OF_A_LIST))
        return f"IVF{lists},{self.codes(dimension)}"

    def lists(self, structure: Any) -> int | None:
        """See `FactoryKind.lists`."""
        import faiss

        return structure.nlist or None if isinstance(structure, faiss.IndexIVF) else None

    def search(self, structure: Any, queries: Vectors, count: int, effort: int, selector: Any) -> NDArray[np.int64]:
        """See `ApproximateKind.search`."""
        import faiss

        params = faiss.SearchParametersIVF(nprobe=effort, sel=selector)  # type: ignore[call-arg]
        return structure.search(queries, count, params=params)[1]  # type: ignore[no-any-return]

    def efforts(self, structure: Any) -> Iterator[int]:
        """Lists to read: 1, 2, 3, 4, 6, 9, ..., all."""
        effort = 1
        while effort < structure.nlist:
            yield effort
            effort = max(effort + 1, int(effort * 1.5))
        yield structure.nlist

    def checked_bytes(self, size: int, rows: int, dimension: int) -> int:
        """All bytes except lists that FAISS maps: these are checked when they are searched."""
        from simcse_kit.search.kinds._lists import head_bytes

        return head_bytes(self._empty(rows, dimension), rows, size)

    def checking(self, structure: Any, file: BlockFile, checked: int) -> Any:
        """See `ApproximateKind.checking`."""
        from simcse_kit.search.kinds._lists import CheckedLists

        return structure if checked == len(file.content) else CheckedLists(structure, file, checked)


@dataclass(frozen=True, kw_only=True)
class Graph(FactoryKind):
    """A graph of near rows (FAISS: HNSW); the effort is the number of nodes that a search keeps (efSearch)."""

    given: str  # FAISS's factory string
    tuned_by_new_rows: ClassVar[bool] = True

    def factory(self, count: int, dimension: int) -> str:
        """See `FactoryKind.factory`."""
        return self.given

    def lists(self, structure: Any) -> int | None:
        """See `FactoryKind.lists`."""
        import faiss

        return 0 if isinstance(structure, faiss.IndexHNSW) else None

    def search(self, structure: Any, queries: Vectors, count: int, effort: int, selector: Any) -> NDArray[np.int64]:
        """See `ApproximateKind.search`."""
        import faiss

        params = faiss.SearchParametersHNSW(efSearch=max(effort, count), sel=selector)  # type: ignore[attr-defined]
        return structure.search(queries, count, params=params)[1]  # type: ignore[no-any-return]

    def efforts(self, structure: Any) -> Iterator[int]:
        """Numbers of nodes to keep."""
        yield from (16, 32, 64, 128, 256, 512, 1024)

    def most_candidates(self, effort: int, rows: int) -> int:
        """The number of nodes kept: a graph cannot return more than it keeps."""
        return effort
