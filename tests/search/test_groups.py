"""Groups of rows that mean nearly the same: the representative by hand, and the same for blocks of any size."""

from __future__ import annotations

import numpy as np
import pytest

from simcse_kit.search import mine
from simcse_kit.search.groups import Groups, SimilarGroup
from support.stores import Store


def on_a_circle(store: Store, *angles: float) -> Groups:
    """Rows t0, t1, ... at these angles, connected where they are at most 25 degrees apart."""
    turned = np.deg2rad(angles)
    collection = store.new(2, "flat")
    vectors = np.stack([np.cos(turned), np.sin(turned)], axis=1).astype(np.float32)
    collection.add([f"t{n}" for n in range(len(angles))], vectors, [f"i{n}" for n in range(len(angles))])
    collection.save(store.place())
    return mine(collection, float(np.cos(np.deg2rad(25)))).by_group()


def shown(group: SimilarGroup) -> tuple[int, str, list[str]]:
    return group.number, group.representative.text, [row.text for row in group.members]


def test_the_representative_is_the_most_central_row(store: Store) -> None:
    """Of 0, 20 and 40 degrees, 20; of two equally central rows, the first; 100 is alone."""
    groups = on_a_circle(store, 40, 0, 20, 100, 250, 260)
    assert [shown(group) for group in groups] == [(0, "t2", ["t0", "t1", "t2"]), (1, "t4", ["t4", "t5"])]
    assert [group.size for group in groups] == [3, 2]
    assert len(groups) == 2
    assert repr(groups) == "Groups(2 groups of 5 sentences)"


def test_blocks_of_any_size_give_the_same_groups(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    angles = [0, 1, 3, 7, 12, 50, 52, 60, 120, 121, 200, 205, 300]
    wanted = [shown(group) for group in on_a_circle(store, *angles)]
    assert [len(members) for _, _, members in wanted] == [5, 3, 2, 2]
    for size in (1, 2, 3, 6, 8):
        monkeypatch.setattr("simcse_kit.search.groups._BATCH", size)
        assert [shown(group) for group in on_a_circle(store, *angles)] == wanted


def test_without_a_pair_there_is_no_group(store: Store) -> None:
    groups = on_a_circle(store, 0, 90)
    assert (len(groups), list(groups), repr(groups)) == (0, [], "Groups(0 groups of 0 sentences)")
    assert groups.to_dataframe().shape == (0, 5)


def test_groups_and_pairs_become_a_dataframe(store: Store) -> None:
    groups = on_a_circle(store, 0, 20, 40, 250, 260)
    frame = groups.to_dataframe()
    assert frame["group"].tolist() == [0, 0, 0, 1, 1]
    assert frame["size"].tolist() == [3, 3, 3, 2, 2]
    assert frame["representative"].tolist() == [False, True, False, True, False]
    assert frame["id"].tolist() == ["i0", "i1", "i2", "i3", "i4"]
    pairs = mine(groups.collection, float(np.cos(np.deg2rad(15))))
    assert repr(pairs) == "Mined(1 pair in 1 group)"
    assert pairs.to_dataframe().iloc[0].tolist() == [
        pytest.approx(np.cos(np.deg2rad(10)), abs=1e-5), 0, "i3", "t3", "i4", "t4"
    ]  # fmt: skip
