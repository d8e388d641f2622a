"""Mining pairs and clustering: equal to a plain loop over all pairs; finds the planted groups."""

from __future__ import annotations

import numpy as np
import pytest

from simcse_kit import SearchIndexError
from simcse_kit.search import BaseCollection, cluster_rows, mine
from support.stores import Store


def filled(store: Store, vectors: np.ndarray, kind: str = "flat") -> BaseCollection:
    made = store.new(vectors.shape[1], kind)
    made.add([f"t{i}" for i in range(len(vectors))], vectors, [f"i{i}" for i in range(len(vectors))])
    made.save(store.place())
    return made


def near_pairs(count: int = 60) -> np.ndarray:
    draw = np.random.default_rng(3)
    base = draw.normal(size=(count // 3, 8))
    return np.concatenate([base + 0.2 * draw.normal(size=base.shape) for _ in range(3)]).astype(np.float32)


def test_mined_pairs_are_those_of_all_pairs(store: Store) -> None:
    vectors = near_pairs()
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    cosine = unit @ unit.T
    expected = {(i, j) for i in range(60) for j in range(i + 1, 60) if cosine[i, j] >= 0.9}
    collection = filled(store, vectors)
    found = mine(collection, 0.9)
    assert {(int(p.first.id[1:]), int(p.second.id[1:])) for p in found} == expected  # type: ignore[index]
    assert found.full == 0
    scores = [pair.score for pair in found]
    assert scores == sorted(scores, reverse=True)
    for pair in found:
        i, j = int(str(pair.first.id)[1:]), int(str(pair.second.id)[1:])
        assert pair.score == pytest.approx(cosine[i, j], abs=1e-5)
        assert (pair.first.text, pair.second.text) == (f"t{i}", f"t{j}")


def test_groups_are_the_rows_that_pairs_connect(store: Store) -> None:
    """0-1-2 by two pairs, 5-6 by one; 3 and 4 alone."""
    angles = np.deg2rad([0, 20, 40, 100, 150, 250, 260])
    found = mine(
        filled(store, np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)), np.cos(np.deg2rad(25))
    )
    groups = {(pair.first.text, pair.second.text): pair.group for pair in found}
    assert groups == {("t0", "t1"): 0, ("t1", "t2"): 0, ("t5", "t6"): 1}


def test_deleted_rows_are_not_mined_and_full_neighbourhoods_are_counted(store: Store) -> None:
    same = np.ones((10, 4), np.float32)
    collection = filled(store, same)
    assert len(mine(collection, 0.99).scores) == 45
    collection.delete(["i0", "i9"])
    assert len(mine(collection, 0.99).scores) == 28
    assert mine(collection, 0.99, neighbors=2).full == 8
    assert len(mine(filled(store, same[:1]), 0.5).scores) == 0
    assert list(mine(store.new(4), 0.5)) == []
    with pytest.raises(SearchIndexError, match="threshold must be a cosine"):
        mine(collection, 2)
    with pytest.raises(SearchIndexError, match="neighbors"):
        mine(collection, neighbors=0)


def test_clusters_are_the_groups_that_are_there(store: Store) -> None:
    draw = np.random.default_rng(0)
    centres = np.eye(4, 16) * 5
    sizes = [40, 30, 20, 10]
    vectors = np.concatenate(
        [centre + 0.3 * draw.normal(size=(n, 16)) for centre, n in zip(centres, sizes, strict=True)]
    )
    collection = filled(store, vectors.astype(np.float32))
    collection.delete(["i0"])
    found = cluster_rows(collection, 4, examples=2)
    assert [one.size for one in found.clusters] == [39, 30, 20, 10]
    bounds = np.cumsum([0, *sizes])
    for label, one in enumerate(found.clusters):
        own = [int(str(row.id)[1:]) for row, other in found.rows() if other == label]
        assert own == [i for i in range(bounds[label], bounds[label + 1]) if i != 0]
        unit = vectors[own] / np.linalg.norm(vectors[own], axis=1, keepdims=True)
        cosine = unit @ found.centres[label]
        assert one.cohesion == pytest.approx(cosine.mean(), abs=1e-4)
        assert [hit.id for hit in one.nearest] == [f"i{own[i]}" for i in np.argsort(-cosine)[:2]]
    with pytest.raises(SearchIndexError, match="n_clusters must be between 1 and"):
        cluster_rows(collection, 100)
