"""Recall reaches the index's target for any number of hits, for every kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from simcse_kit.search import KINDS, Collection
from simcse_kit.search.structure import TARGET_RECALL

pytestmark = pytest.mark.slow

COUNT, DIMENSION, QUERIES = 20_500, 48, 100


def clustered(count: int, seed: int) -> np.ndarray:
    """Clustered vectors, like those of sentences."""
    draw = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(200, DIMENSION))
    return (centres[draw.integers(0, 200, count)] + 0.6 * draw.normal(size=(count, DIMENSION))).astype(np.float32)


def found(index: Collection, k: int) -> list[set[object]]:
    return [{hit.id for hit in hits} for hits in index.search(clustered(QUERIES, 1), k)]


@pytest.fixture(scope="module")
def right() -> dict[int, list[set[object]]]:
    exact = Collection(DIMENSION, "flat")
    exact.add([""] * COUNT, clustered(COUNT, 0))
    return {k: found(exact, k) for k in (10, 100, 1000)}


@pytest.mark.parametrize("kind", ["auto", *KINDS])
def test_recall_is_the_target_for_any_number_of_hits(
    kind: str, right: dict[int, list[set[object]]], tmp_path: Path
) -> None:
    """Within chance: two standard errors of the queries."""
    index = Collection(DIMENSION, kind)
    index.add([""] * COUNT, clustered(COUNT, 0))
    index.save(tmp_path / "i")
    for k, wanted in right.items():
        shares = np.array([len(a & b) / k for a, b in zip(found(index, k), wanted, strict=True)])
        assert shares.mean() + 2 * shares.std() / QUERIES**0.5 >= TARGET_RECALL, f"{k} hits: {shares.mean():.4f}"
    assert all(len(hits) == COUNT for hits in index.search(clustered(2, 1), COUNT))
