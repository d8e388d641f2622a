"""What every index kind says about itself, and the family of them."""

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
    """An index type of Milvus and how it is searched."""

    index_type: str
    params: Mapping[str, int]  # to build it
    effort: str | None  # the parameter that trades time for recall
    efforts: tuple[int, ...]  # to try, least first
    factor: int  # candidates for each hit, whose exact scores decide; 1: its scores are exact
    lite: bool  # whether Milvus Lite has it
    params_of: Callable[[int], Mapping[str, int]] | None = None  # more of them, by dimension


@dataclass(frozen=True, kw_only=True)
class IndexKind:
    """How the nearest rows are found; this one compares every vector."""

    name: str
    help: str
    source: str = ""  # paper, year; "" for what has none
    order: int = 100  # in lists
    auto: int | None = None  # its turn where the kind is auto; None: it takes no part
    milvus: MilvusIndex | None = field(default=None, repr=False)  # None: Milvus does not have it


@dataclass(frozen=True, kw_only=True)
class ApproximateKind(IndexKind, ABC):
    """A kind whose FAISS structure finds candidates; their exact scores decide.

    A structure is whatever `create` and `read` return; ``effort`` is one of `efforts`.
    """

    tuned_by_new_rows: ClassVar[bool] = False  # a structure finds a row that it has more easily than a new one

    def least_rows(self, dimension: int) -> int:
        """Rows that a structure is made of at least; of fewer, every vector is compared."""
        return 2

    @abstractmethod
    def create(self, vectors: VectorParts, seed: int) -> Any:
        """A structure without rows, trained for these N vectors (N, D).

        Raises:
            SearchIndexError: FAISS cannot make it.
        """

    @abstractmethod
    def search(self, structure: Any, queries: Vectors, count: int, effort: int, selector: Any) -> NDArray[np.int64]:
        """Rows that may be the nearest of unit queries (Q, D): (Q, count), -1 for none.

        ``selector``: a ``faiss.IDSelector`` of the rows that may be found, or None for all.
        """

    @abstractmethod
    def efforts(self, structure: Any) -> Iterator[int]:
        """Efforts to try, least first."""

    def most_candidates(self, effort: int, rows: int) -> int:
        """Candidates of one query that an effort gives, of a structure over ``rows`` rows."""
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
        """The structure in the mapped bytes of a file of `write`, which outlive it; damaged, a ``RuntimeError``."""
        import faiss

        return faiss.read_index(mapped(content), faiss.IO_FLAG_MMAP_IFC)

    def checked_bytes(self, size: int, rows: int, dimension: int) -> int:
        """Of a file of ``size`` bytes, the first ones that must be right before it is read: what is not only mapped."""
        return size

    def checking(self, structure: Any, file: BlockFile, checked: int) -> Any:
        """The structure, which checks what it reads of its file behind the ``checked`` bytes; here that is nothing."""
        return structure


def mapped(content: Bytes) -> Any:
    """What FAISS reads bytes by, without a copy of what it need not change."""
    import faiss

    return faiss.ZeroCopyIOReader(faiss.swig_ptr(content), len(content))  # type: ignore[attr-defined]


KINDS: Family[Any] = Family("an index's kind", "simcse_kit.search.kinds", SearchIndexError, IndexKind)
