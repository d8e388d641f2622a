"""How vectors are stored, in sentence-transformers' words."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

PRECISIONS = ("float32", "int8", "uint8", "binary", "ubinary")


def quantized(vectors: Tensor, precision: str) -> NDArray[Any]:
    """Vectors (N, D) float32 as sentence-transformers stores them: (N, D), or (N, D/8) for binary and ubinary."""
    if len(vectors) == 0:
        width = vectors.shape[1] // 8 if precision in ("binary", "ubinary") else vectors.shape[1]
        return np.zeros((0, width), dtype="int8" if precision in ("int8", "binary") else "uint8")
    from sentence_transformers.util import quantize_embeddings

    stored: NDArray[Any] = quantize_embeddings(vectors.cpu().numpy(), precision=precision)
    return stored
