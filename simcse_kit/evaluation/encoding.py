"""Encodes every sentence of a suite once, in one call."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from simcse_kit.errors import SimCSEKitError
from simcse_kit.types import EncodeFn, Vectors

Numbers = NDArray[np.intp]
"""(N,) row numbers in the vectors of `SentencePool.encode`."""


class SentencePool:
    """Collects distinct sentences; runs of white space count as one space (rule of the STS protocol).

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
        """The distinct sentences, by row number."""
        return list(self._numbers)

    def add(self, sentences: Iterable[str]) -> Numbers:
        """The row number of each sentence: N sentences -> (N,)."""
        numbers = self._numbers
        rows = [numbers.setdefault(" ".join(sentence.split()), len(numbers)) for sentence in sentences]
        return np.array(rows, dtype=np.intp)

    def encode(self, encode: EncodeFn) -> Vectors:
        """One vector per distinct sentence, from one call of `encode`: (len(self), D)."""
        sentences = self.sentences
        if not sentences:
            return np.empty((0, 0), dtype=np.float32)
        vectors = np.asarray(encode(sentences), dtype=np.float32)
        if vectors.ndim != 2 or len(vectors) != len(sentences):
            raise SimCSEKitError(
                f"encode must return one vector per sentence, shape ({len(sentences)}, D); got shape "
                f"{vectors.shape} (first sentence: {sentences[0]!r})"
            )
        bad = ~np.isfinite(vectors).all(axis=1)  # (N,)
        if bad.any():
            raise SimCSEKitError(
                f"encode returned vectors that are not finite for {int(bad.sum())} of {len(sentences)} "
                f"sentences, the first is {sentences[int(bad.argmax())]!r}"
            )
        return vectors
