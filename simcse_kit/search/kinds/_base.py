"""Base classes of index kinds, and their family."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from simcse_kit.errors import SearchIndexError
from simcse_kit.parts import Family

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from simcse_kit.search.blocks import BlockFile, Bytes
    from simcse_kit.search.vectors import VectorParts
    from simcse_kit.types import Vectors


class MilvusIndex(NamedTuple):
    """An index type of Milvus and its search parameters."""

    index_type: str
    params: Mapping[str, int]  # to build it
    effort: str | None  # the parameter that trades time for recall
    efforts: tuple[int, ...]  # values to try, smallest first
    factor: int  # candidates per hit, which exact scores rank; 1: Milvus's scores are exact
    lite: bool  # whether Milvus Lite supports it
    params_of: Callable[[int], Mapping[str, int]] | None = None  # further build parameters, by dimension


@dataclass(frozen=True, kw_only=True)
class IndexKind:
    """How the nearest rows are found; this base class compares every vector."""

    name: str
    help: str
    source: str = ""  # paper, year; "" if there is none
    order: int = 100  # position in lists
    auto: int | None = None  # its turn for kind auto; None: auto never uses it
    milvus: MilvusIndex | None = field(default=None, repr=False)  # None: not available in Milvus


@dataclass(frozen=True, kw_only=True)
class ApproximateKind(IndexKind, ABC):
    """A kind whose FAISS structure finds candidates; exact scores rank them.

    A structure is any object that `create` and `read` return; ``effort`` is one of `efforts`.
    """

    tuned_by_new_rows: ClassVar[bool] = False  # a structure finds its own rows more easily than new queries

    def least_rows(self, dimension: int) -> int:
        """Fewest rows for which a structure is built; with fewer, every vector is compared."""
        return 2

    @abstractmethod
    def create(self, vectors: VectorParts, seed: int) -> Any:
        """An empty structure, trained on these N vectors (N, D).

        Raises:
            SearchIndexError: FAISS cannot build it.
        """

    @abstractmethod
    def search(self, structure: Any, queries: Vectors, count: int, effort: int, selector: Any) -> NDArray[np.int64]:
        """Candidates for the nearest rows of unit queries (Q, D): (Q, count), -1 for none.

        ``selector``: a ``faiss.IDSelector`` of the allowed rows, or None for all.
        """

    @abstractmethod
    def efforts(self, structure: Any) -> Iterator[int]:
        """Efforts to try, smallest first."""

    def most_candidates(self, effort: int, rows: int) -> int:
        """Candidates per query at an effort, in a structure over ``rows`` rows."""
        return rows

    def add(self, structure: Any, vectors: Vectors) -> None:
        """Add n vectors (n, D)."""
        import numpy as np

        structure.add(np.ascontiguousarray(vectors))

    def write(self, structure: Any, path: Path) -> None:
        """Write to a file."""
        import faiss

        faiss.write_index(structure, str(path))

    def read(self, content: Bytes) -> Any:
        """The structure in the mapped bytes of a file of `write`, which outlive it; ``RuntimeError`` if damaged."""
        import faiss

        return faiss.read_index(mapped(content), faiss.IO_FLAG_MMAP_IFC)

    def checked_bytes(self, size: int, rows: int, dimension: int) -> int:
        """Number of first bytes of a file of ``size`` bytes to check before reading: those that are not only mapped."""
        return size

    def checking(self, structure: Any, file: BlockFile, checked: int) -> Any:
        """The structure, which checks what it reads beyond the ``checked`` bytes; the base class checks nothing."""
        return structure


def mapped(content: Bytes) -> Any:
    """A FAISS reader over bytes, without a copy if FAISS does not change them."""
    import faiss

    return faiss.ZeroCopyIOReader(faiss.swig_ptr(content), len(content))  # type: ignore[attr-defined]


KINDS: Family[Any] = Family("an index's kind", "simcse_kit.search.kinds", SearchIndexError, IndexKind)
