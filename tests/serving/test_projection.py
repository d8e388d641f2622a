"""The map: PCA by its definition, positions of other vectors on it."""

from __future__ import annotations

import numpy as np
import pytest

from simcse_kit.search import IndexRow
from simcse_kit.serving.projection import CorpusMap, available_methods, principal_axes


def drawn(count: int, width: int = 8, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).normal(size=(count, width)).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def rows(count: int) -> list[IndexRow]:
    return [IndexRow(i, f"text {i}", None) for i in range(count)]


def test_the_axes_are_those_of_a_hand_made_cloud() -> None:
    """Variances 4, 1 and 0 along x, y and z."""
    cloud = np.array([[2, 0, 5], [-2, 0, 5], [0, 1, 5], [0, -1, 5]], dtype=np.float32)
    axes, middle, explained = principal_axes(cloud)
    np.testing.assert_allclose(np.abs(axes), [[1, 0], [0, 1], [0, 0]], atol=1e-6)
    np.testing.assert_allclose(middle, [0, 0, 5])
    assert explained == pytest.approx(1)


def test_pca_explains_what_the_singular_values_say() -> None:
    vectors = drawn(60)
    values = np.linalg.svd(vectors - vectors.mean(0), compute_uv=False) ** 2
    made = CorpusMap.fit(rows(60), vectors, "pca")
    assert made.explained == pytest.approx(values[:2].sum() / values.sum(), rel=1e-5)
    assert np.abs(made.points).max() == pytest.approx(1, abs=1e-5)
    distances = np.linalg.norm(made.points[:, None] - made.points[None], axis=2)
    centred = (vectors - vectors.mean(0)) @ np.linalg.svd(vectors - vectors.mean(0))[2][:2].T
    plain = np.linalg.norm(centred[:, None] - centred[None], axis=2)
    np.testing.assert_allclose(distances / distances.max(), plain / plain.max(), atol=1e-4)


@pytest.mark.parametrize(
    "method", [pytest.param(name, marks=() if name == "pca" else pytest.mark.slow) for name in available_methods()]
)
def test_a_row_is_placed_where_it_is(method: str) -> None:
    vectors = np.concatenate([drawn(20, seed=1) * 0.2 + 1, drawn(20, seed=2) * 0.2 - 1])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    made = CorpusMap.fit(rows(40), vectors, method)
    placed = made.place(vectors)
    assert placed.shape == made.points.shape == (40, 2)
    if method == "pca":
        np.testing.assert_allclose(placed, made.points, atol=1e-4)
    else:  # among its neighbours: in its own cluster
        centres = made.points[:20].mean(0), made.points[20:].mean(0)
        nearer = np.linalg.norm(placed - centres[0], axis=1) < np.linalg.norm(placed - centres[1], axis=1)
        assert nearer.tolist() == [True] * 20 + [False] * 20
    again = CorpusMap.fit(rows(40), vectors, method)
    np.testing.assert_array_equal(again.points, made.points)


@pytest.mark.parametrize("count", [0, 1, 2])
def test_maps_of_hardly_anything(count: int) -> None:
    vectors = np.repeat(drawn(1), count, axis=0)
    made = CorpusMap.fit(rows(count), vectors, "umap" if count else "pca")
    assert made.method == "pca"
    assert made.points.shape == (count, 2)
    assert np.isfinite(made.place(drawn(3))).all()
