"""Laws and hand-worked numbers of the metrics."""

from __future__ import annotations

import math
import warnings
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcse_kit.evaluation.metrics import (
    alignment,
    cosine_pairs,
    nearest_columns,
    pearson,
    positive_pairs,
    scale_maximum,
    spearman,
    uniformity,
)


def brute_force_uniformity(vectors: np.ndarray, t: float) -> float:
    x = vectors.astype(np.float64)
    x /= np.linalg.norm(x, axis=1, keepdims=True)
    return math.log(np.mean([math.exp(-t * np.sum((a - b) ** 2)) for a, b in combinations(x, 2)]))


def test_uniformity_of_two_orthogonal_vectors_is_minus_4() -> None:
    assert uniformity([[1.0, 0.0], [0.0, 7.0]]) == pytest.approx(-4)


def test_uniformity_of_identical_vectors_is_0() -> None:
    assert uniformity(np.full((5, 3), 0.7)) == pytest.approx(0, abs=1e-6)
    assert uniformity(np.full((5, 3), 0.7)) <= 0


def test_uniformity_is_one_log_of_one_mean() -> None:
    # e1, e1, e2: one pair at distance 0, two at squared distance 2
    assert uniformity([[1, 0], [1, 0], [0, 1]], chunk=1) == pytest.approx(math.log((1 + 2 * math.exp(-4)) / 3))


def test_uniformity_takes_a_zero_vector_as_it_is() -> None:
    assert uniformity([[0, 0], [0, 3]]) == pytest.approx(-2)  # squared distance 1


@pytest.mark.parametrize("vectors", [np.empty((0, 3)), np.ones((1, 3))])
def test_uniformity_of_no_pair_is_nan(vectors: np.ndarray) -> None:
    assert math.isnan(uniformity(vectors))


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    count=st.integers(2, 23),
    chunk=st.integers(1, 30),
    t=st.floats(0.1, 5),
)
def test_chunked_uniformity_equals_brute_force(seed: int, count: int, chunk: int, t: float) -> None:
    vectors = np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)
    assert uniformity(vectors, t=t, chunk=chunk) == pytest.approx(brute_force_uniformity(vectors, t), abs=2e-6)


def test_alignment_by_hand() -> None:
    # squared distances of unit vectors: 0 (same direction), 2 (orthogonal), 4 (opposite)
    first = [[2, 0], [1, 0], [1, 0]]
    second = [[5, 0], [0, 3], [-1, 0]]
    assert alignment(first, second) == pytest.approx(2)
    assert math.isnan(alignment(np.empty((0, 2)), np.empty((0, 2))))


def test_cosine_of_a_zero_vector_is_0() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert cosine_pairs([[0, 0], [1, 1]], [[1, 2], [-2, -2]]) == pytest.approx([0, -1])


def test_spearman_with_ties_by_hand() -> None:
    # ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: covariance sum 4.5, sums of squares 4.5 and 5
    assert spearman([0.1, 0.5, 0.5, 0.9], [1, 2, 3, 4]) == pytest.approx(4.5 / math.sqrt(4.5 * 5))


def test_pearson_by_hand() -> None:
    # deviations -1, 0, 1 against -4/3, -1/3, 5/3: 3 / sqrt(2 * 42/9)
    assert pearson([1, 2, 3], [0, 1, 3]) == pytest.approx(3 / math.sqrt(2 * 42 / 9))


@pytest.mark.parametrize("correlation", [spearman, pearson])
@pytest.mark.parametrize("x", [[1, 1, 1], [1, math.nan, 2]])
def test_undefined_correlations_are_nan_without_a_warning(correlation, x) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert math.isnan(correlation(x, [1, 2, 3]))
        assert math.isnan(correlation([1], [2]))


@given(st.permutations(range(8)))
def test_order_of_the_pairs_does_not_matter(order: list[int]) -> None:
    rng = np.random.default_rng(0)
    a, b, gold = rng.normal(size=(8, 3)), rng.normal(size=(8, 3)), np.array([0, 1, 1, 2, 3, 3, 4, 5.0])
    assert spearman(cosine_pairs(a, b)[order], gold[order]) == pytest.approx(spearman(cosine_pairs(a, b), gold))
    assert alignment(a[order], b[order]) == pytest.approx(alignment(a, b))
    assert uniformity(a[order], chunk=3) == pytest.approx(uniformity(a, chunk=3), abs=1e-6)


def test_positive_is_above_80_percent_of_the_scale() -> None:
    assert positive_pairs([4.0, 4.001, 2.0]).tolist() == [False, True, False]
    assert positive_pairs([0.8, 0.81, 1.0]).tolist() == [False, True, True]
    assert positive_pairs([80, 81, 100]).tolist() == [False, True, True]
    assert positive_pairs([0.9, 0.5], scale=5).tolist() == [False, False]
    assert scale_maximum([]) == 1


def test_shapes_that_do_not_fit_are_named() -> None:
    with pytest.raises(ValueError, match=r"\(2, 3\) and \(3, 3\)"):
        cosine_pairs(np.ones((2, 3)), np.ones((3, 3)))
    with pytest.raises(ValueError, match="2 dimension"):
        uniformity(np.ones(3))


def test_of_equals_the_earlier_is_nearer() -> None:
    draw = np.random.default_rng(0)
    values = draw.integers(0, 4, (20, 30)).astype(np.float32)  # ties at every place, the last one too
    for k in (1, 10, 30):
        np.testing.assert_array_equal(nearest_columns(values, k), np.argsort(-values, axis=1, kind="stable")[:, :k])
