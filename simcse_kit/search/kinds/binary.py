"""One bit per dimension, its sign; all rows are compared."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simcse_kit.search.kinds._base import KINDS, ApproximateKind, mapped

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from simcse_kit.search.blocks import Bytes
    from simcse_kit.search.vectors import VectorParts
    from simcse_kit.types import Vectors


@dataclass(frozen=True, kw_only=True)
class Signs(ApproximateKind):
    """One bit per dimension, compared by Hamming distance; there is only one effort."""

    def create(self, vectors: VectorParts, seed: int) -> Any:
        """See `ApproximateKind.create`."""
        import faiss

        return faiss.IndexBinaryFlat(-(-vectors.dimension // 8) * 8)

    def add(self, structure: Any, vectors: Vectors) -> None:
        """See `ApproximateKind.add`."""
        structure.add(_bits(vectors))

    def search(self, structure: Any, queries: Vectors, count: int, effort: int, selector: Any) -> NDArray[np.int64]:
        """See `ApproximateKind.search`."""
        import faiss

        params = faiss.SearchParameters(sel=selector)  # type: ignore[call-arg]
        return structure.search(_bits(queries), count, params=params)[1]  # type: ignore[no-any-return]

    def efforts(self, structure: Any) -> Iterator[int]:
        """The only effort."""
        yield 1

    def write(self, structure: Any, path: Path) -> None:
        """See `ApproximateKind.write`."""
        import faiss

        faiss.write_index_binary(structure, str(path))

    def read(self, content: Bytes) -> Any:
        """See `ApproximateKind.read`."""
        import faiss

        return faiss.read_index_binary(mapped(content))


def _bits(vectors: Vectors) -> NDArray[np.uint8]:
    """Signs of n vectors (n, D), 8 dimensions per byte: (n, ceil(D / 8))."""
    import numpy as np

    return np.packbits(vectors > 0, axis=1)


KINDS.register(Signs(name="binary", help="signs alone, compared by Hamming distance: one bit a dimension", order=7))
