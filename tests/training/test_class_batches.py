"""Batches balanced over classes."""

from __future__ import annotations

from collections import Counter

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from simcse_kit.training.class_batches import ClassBatches, class_cut


def labels_of(*sizes: int) -> np.ndarray:
    """Rows of classes 0, 1, ... with these numbers of rows, mixed."""
    return np.random.default_rng(1).permutation(np.repeat(np.arange(len(sizes)), sizes))


def test_equal_classes_by_hand() -> None:
    """12 classes with 8 rows each, 4 of a class, 24 rows a batch: 4 batches of 6 classes with 4 rows each."""
    labels = labels_of(*[8] * 12)
    batches = ClassBatches(labels, 4, 24, seed=0).batches()
    assert [sorted(Counter(labels[batch].tolist()).values()) for batch in batches] == [[4] * 6] * 4
    assert sorted(np.concatenate(batches).tolist()) == list(range(96))


def test_unequal_classes_by_hand() -> None:
    """Groups are 3 and 2 of five rows, 2 of two, and 1 of one: 8 rows, in two batches of 4 rows."""
    labels = labels_of(5, 2, 1)
    batches = ClassBatches(labels, 4, 4, seed=0).batches()
    found = sorted(sorted(Counter(labels[batch].tolist()).items()) for batch in batches)
    assert found in ([[(0, 2), (1, 2)], [(0, 3), (2, 1)]], [[(0, 2), (2, 1), (1, 2)], [(0, 3)]])


@settings(max_examples=60, deadline=None)
@given(
    sizes=st.lists(st.integers(1, 40), min_size=2, max_size=30),
    per_class=st.integers(2, 6),
    factor=st.integers(2, 8),
    seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 50),
    ranks=st.integers(1, 3),
)
def test_coverage_company_balance_determinism_ranks(
    sizes: list[int], per_class: int, factor: int, seed: int, epoch: int, ranks: int
) -> None:
    labels, size = labels_of(*sizes), factor * per_class
    sampler = ClassBatches(labels, per_class, size, seed, ranks=ranks)
    sampler.set_epoch(epoch)
    batches = sampler.batches()
    assert len(batches) == len(sampler) == class_cut(len(labels), size, ranks).steps
    assert sorted(np.concatenate(batches).tolist()) == list(range(len(labels)))  # every row once

    largest = max(per_class, 3)  # of a group: an odd row joins a group of two
    lengths = [len(batch) for batch in batches]
    assert max(lengths) - min(lengths) <= largest
    for batch in batches:
        for label, rows in Counter(labels[batch].tolist()).items():
            assert rows > 1 or sizes[label] == 1  # no row is alone unless it must be
            groups = -(-sizes[label] // 2)
            assert rows <= largest * -(-groups // len(batches))  # spread over the batches

    again = ClassBatches(labels, per_class, size, seed, ranks=ranks)
    again.set_epoch(epoch + 1)
    again.batches()
    again.set_epoch(epoch)
    assert all(np.array_equal(one, other) for one, other in zip(batches, again.batches(), strict=True))
    parts = [ClassBatches(labels, per_class, size, seed, rank=rank, ranks=ranks) for rank in range(ranks)]
    for part in parts:
        part.set_epoch(epoch)
    for batch, step in zip(batches, zip(*parts, strict=True), strict=True):
        assert [item.row for part in step for item in part] == batch.tolist()


def test_epochs_and_seeds_differ() -> None:
    labels = labels_of(*[8] * 12)
    sampler = ClassBatches(labels, 4, 24, seed=0)
    first = np.concatenate(sampler.batches()).tolist()
    sampler.set_epoch(1)
    assert np.concatenate(sampler.batches()).tolist() != first
    assert np.concatenate(ClassBatches(labels, 4, 24, seed=1).batches()).tolist() != first


def test_classes_meet_others_each_epoch() -> None:
    """Classes that share a batch are drawn again each epoch: in 20 epochs each of 12 meets all others."""
    labels = labels_of(*[4] * 12)
    sampler = ClassBatches(labels, 4, 24, seed=0)
    met: set[tuple[int, int]] = set()
    for epoch in range(20):
        sampler.set_epoch(epoch)
        for batch in sampler.batches():
            there = set(labels[batch].tolist())
            met |= {(one, other) for one in there for other in there}
    assert len(met) == 12 * 12
