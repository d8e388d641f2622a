"""Every distinct sentence is encoded once, and bad vectors raise errors."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from simcse_kit.errors import SimCSEKitError
from simcse_kit.evaluation.encoding import SentencePool


def by_length(sentences: Sequence[str]) -> np.ndarray:
    return np.array([[len(sentence), 1.0] for sentence in sentences], dtype=np.float32)


def test_rows_lead_back_to_the_sentences() -> None:
    pool = SentencePool()
    first, second = pool.add(["aa", "b", "aa"]), pool.add(["ccc", " b\u00a0"])
    vectors = pool.encode(by_length)
    assert vectors[first, 0].tolist() == [2, 1, 2]
    assert vectors[second, 0].tolist() == [3, 1]
    assert len(vectors) == len(pool) == 3


def test_white_space_runs_count_as_one_space() -> None:
    seen: list[str] = []
    pool = SentencePool()
    pool.add(["  a \t cat\u3000sat ", "A cat sat"])
    pool.encode(lambda sentences: (seen.extend(sentences), by_length(sentences))[1])
    assert seen == ["a cat sat", "A cat sat"]  # case is left alone


@pytest.mark.parametrize("shape", [(1, 4), (2,), (2, 4, 1)])
def test_a_wrong_shape_is_an_error(shape: tuple[int, ...]) -> None:
    pool = SentencePool()
    pool.add(["one", "two"])
    with pytest.raises(SimCSEKitError, match=r"shape \(2, D\).*'one'"):
        pool.encode(lambda _: np.ones(shape, dtype=np.float32))


def test_the_first_sentence_with_a_bad_vector_is_named() -> None:
    pool = SentencePool()
    pool.add(["fine", "broken", "also broken"])
    with pytest.raises(SimCSEKitError, match=r"2 of 3 sentences, the first is 'broken'"):
        pool.encode(lambda _: np.array([[1, 1], [1, np.nan], [np.inf, 1]], dtype=np.float32))


def test_nothing_to_encode_calls_nothing() -> None:
    assert SentencePool().encode(lambda _: pytest.fail("called")).shape == (0, 0)
