"""An index kind that a user wrote, in one file: `test_kinds` registers it, and gives it as ``own_kind:KIND``."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import faiss
import numpy as np

from simcse_kit.search.kinds import ApproximateKind
from simcse_kit.search.vectors import VectorParts


@dataclass(frozen=True, kw_only=True)
class Halves(ApproximateKind):
    """float16 vectors, all compared; the effort has no meaning."""

    def create(self, vectors: VectorParts, seed: int) -> Any:
        made = faiss.IndexScalarQuantizer(vectors.dimension, faiss.ScalarQuantizer.QT_fp16, faiss.METRIC_INNER_PRODUCT)
        made.train(vectors.take(np.arange(1)))
        return made

    def search(self, structure: Any, queries: np.ndarray, count: int, effort: int, selector: Any) -> np.ndarray:
        found: np.ndarray = structure.search(queries, count, params=faiss.SearchParameters(sel=selector))[1]  # type: ignore[call-arg]
        return found

    def efforts(self, structure: Any) -> Iterator[int]:
        yield 1


KIND = Halves(name="halves", help="vectors of two bytes a dimension")
