"""Every sentence of a whole suite is encoded once, in one call."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from simcse_kit.errors import SimCSEKitError
from simcse_kit.types import EncodeFn, Vectors

Numbers = NDArray[np.intp]
"""(N,) row numbers into the vectors that `SentencePool.encode` gives."""


class SentencePool:
    """Collects sentences, each distinct one once; white space runs count as one space (the STS protocol's rule).

    >>> pool = SentencePool()
    >>> pool.add(["a cat", "a dog", "a  cat "]).tolist(), len(pool)
    ([0, 1, 0], 2)
    """

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}

    def __len__(self) -> int:
        return len(self._numbers)

    @property
    def sentences(self) -> list[str]:
        """The distinct ones, in the order of their row numbers."""
        return list(self._numbers)

    def add(self, sentences: Iterable[str]) -> Numbers:
        """The row number of each sentence: N sentences -> (N,)."""
        numbers = self._numbers
        rows = [numbers.setdefault(" ".join(sentence.split()), len(numbers)) for sentence in sentences]
        return np.array(rows, dtype=np.intp)

    def encode(self, encode: EncodeFn) -> Vectors:
        """One vector for each distinct sentence, from one call of `encode`: (len(self), D)."""
        sentences = self.sentences
        if not sentences:
            return np.empty((0, 0), dtype=np.float32)
        vectors = np.asarray(encode(sentences), dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(sentences):
            raise SimCSEKitError(
                f"encode must give one vector for each sentence, shape ({len(sentences)}, D); got shape "
                f"{vectors.shape}, the first sentence being {sentences[0]!r}"
            )
        bad = ~np.isfinite(vectors).all(axis=1)  # (N,)
        if bad.any():
            raise SimCSEKitError(
                f"encode gave a vector that is not finite for {int(bad.sum())} of {len(sentences)} sentences, "
                f"the first being {sentences[int(bad.argmax())]!r}"
            )
        return vectors
