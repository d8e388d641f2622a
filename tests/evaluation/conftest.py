"""A tiny SentEval folder, and an encoder that counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from support.senteval import encode_angles, write_senteval


@pytest.fixture
def senteval(tmp_path: Path) -> Path:
    """A folder in SentEval's layout; all 29 files hold the same three pairs, ranked as the angles rank them."""
    write_senteval(tmp_path)
    return tmp_path


class Counting:
    """Wraps an encoder and records its calls."""

    def __init__(self, encode: Callable[[Sequence[str]], np.ndarray] = encode_angles) -> None:
        self.calls: list[list[str]] = []
        self._encode = encode

    def __call__(self, sentences: Sequence[str]) -> np.ndarray:
        self.calls.append(list(sentences))
        return self._encode(sentences)


@pytest.fixture
def encode() -> Counting:
    return Counting()
