"""Small types shared by every layer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
"""Embeddings, (N, D) float32."""

Id = int | str
"""A user's id for a row; all rows of an index have ids of one type."""

EncodeFn = Callable[[Sequence[str]], Vectors]
"""Any function that turns N sentences into (N, D) vectors. Evaluators take one instead of a model."""


class ScoredPairs(NamedTuple):
    """N sentence pairs with a gold similarity each, on any scale (such as 0-5 or 0-1)."""

    first: list[str]
    second: list[str]
    gold: NDArray[np.float64]  # (N,)
    source: str  # file or data set, as the user named it
    dropped: int = 0  # pairs without a gold score, and empty rows
