"""Which rows make up each step."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from simcse_kit.training.sampling import _TRIES, EpochBatches, cut, numbered


@given(
    rows=st.integers(2, 200),
    batch_size=st.integers(2, 20),
    seed=st.integers(0, 2**32 - 1),
    epoch=st.integers(0, 50),
)
def test_an_epoch_is_a_permutation_of_its_own(rows: int, batch_size: int, seed: int, epoch: int) -> None:
    one, other = EpochBatches(rows, batch_size, seed), EpochBatches(rows, batch_size, seed)
    one.set_epoch(epoch)
    other.set_epoch(epoch + 1)
    list(other)
    other.set_epoch(epoch)
    batches = list(one)
    assert batches == list(other)
    assert len(batches) == len(one) == cut(rows, batch_size).steps
    seen = [item.row for batch in batches for item in batch]
    assert {item.epoch for batch in batches for item in batch} <= {epoch}
    assert len(set(seen)) == len(seen) == rows - cut(rows, batch_size).left_out
    assert all(len(batch) == batch_size for batch in batches[:-1])


def test_epochs_and_seeds_differ() -> None:
    sampler = EpochBatches(50, 10, 1)
    first = [batch.tolist() for batch in sampler.batches()]
    sampler.set_epoch(1)
    assert [batch.tolist() for batch in sampler.batches()] != first
    assert [batch.tolist() for batch in EpochBatches(50, 10, 2).batches()] != first


def test_a_row_alone_is_left_out() -> None:
    """It would have no negatives; with three ranks two rows leave one rank without any."""
    assert cut(9, 4) == (2, 1)
    assert cut(10, 4) == (3, 0)
    assert cut(14, 4, 3) == (1, 2)
    assert cut(15, 4, 3) == (2, 0)


@settings(max_examples=60, deadline=None)
@given(texts=st.lists(st.integers(0, 30), min_size=4, max_size=120), batch_size=st.integers(2, 12), data=st.data())
def test_batches_without_duplicates(texts: list[int], batch_size: int, data: st.DataObject) -> None:
    """Every row is there once; a batch with a text twice only where all others that had room had the text as well."""
    second = data.draw(st.lists(st.integers(0, 30), min_size=len(texts), max_size=len(texts)))
    table = np.array([texts, second]).T
    sampler = EpochBatches(len(texts), batch_size, 7, texts=table)
    batches = sampler.batches()
    left_out = sampler.cut.left_out
    rows = np.concatenate(batches)
    assert len(np.unique(rows)) == len(rows) == len(texts) - left_out
    assert [len(batch) for batch in batches[:-1]] == [batch_size] * (len(batches) - 1)
    # Again, row by row in the order of drawing: the others with room had the text as well.
    order = np.random.default_rng([7, 0]).permutation(len(texts))
    where = {row: i for i, batch in enumerate(batches) for row in batch.tolist()}
    held: list[set[int]] = [set() for _ in batches]
    filled = [0] * len(batches)
    for row in (row for row in order.tolist() if row in where):
        own, chosen = set(table[row].tolist()), where[row]
        roomy = [i for i, batch in enumerate(batches) if filled[i] < len(batch)]
        if held[chosen] & own:
            assert all(held[i] & own for i in roomy[:_TRIES])
        held[chosen] |= own
        filled[chosen] += 1


def test_repeats_are_kept_apart_where_they_can_be() -> None:
    """Each of 30 texts 4 times in 12 batches of 10."""
    texts = np.repeat(np.arange(30), 4)[:, None]
    for seed in range(20):
        batches = EpochBatches(120, 10, seed, texts=texts).batches()
        clashing = sum(len(np.unique(texts[batch])) < len(batch) for batch in batches)
        assert clashing <= 2, seed  # the last to be filled have no choice left
    plain = EpochBatches(120, 10, 0).batches()
    assert sum(len(np.unique(texts[batch])) < len(batch) for batch in plain) > 6


def test_texts_are_numbered_across_columns() -> None:
    assert numbered([["a", "b", "a"], ["c", "a", "b"]]).tolist() == [[0, 2], [1, 0], [0, 1]]
