"""An open reader sees the commits of others on request, and draws the same sample each time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simcse_kit import IndexChangedError
from simcse_kit.search import Collection, collection
from simcse_kit.search.store import MANIFEST
from support.stores import Store


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 6)).astype(np.float32)


def test_a_reader_sees_commits_when_it_asks(store: Store) -> None:
    writer = store.new(6)
    assert not writer.refresh()
    assert writer.add(["a", "b"], vectors(2)) == [0, 1]
    writer.save(store.place("i"))
    assert not writer.refresh()
    reader = store.open(store.place("i"))
    assert not reader.refresh()
    writer.add(["c"], vectors(1, 1))
    writer.delete([0])
    writer.save()
    assert len(reader) == 2
    assert reader.refresh()
    assert [row.id for row, _ in reader.rows()] == [1, 2]
    assert not reader.refresh()
    reader.add(["d"], vectors(1, 2))
    reader.save()  # it is no stale writer now
    writer.delete([1])
    assert not writer.refresh()  # its unsaved rows are kept
    assert [row.id for row, _ in writer.rows()] == [2]


def test_a_compaction_is_a_commit_too(store: Store) -> None:
    writer = store.new(6)
    writer.add(["a", "b", "c"], vectors(3))
    writer.save(store.place("i"))
    reader = store.open(store.place("i"))
    writer.delete([1])
    writer.compact()
    assert reader.refresh()
    assert [row.text for row in reader.get([0, 2])] == ["a", "c"]


def test_a_sample_is_rows_with_their_vectors(store: Store) -> None:
    collection = store.new(6)
    collection.add([f"text {i}" for i in range(50)], vectors(50))
    collection.delete(list(range(0, 50, 2)))
    rows, drawn = collection.sample(10)
    assert len(rows) == len(drawn) == 10
    assert all(row.id % 2 for row in rows)  # type: ignore[operator]
    np.testing.assert_array_equal(drawn, collection.vectors_of([row.id for row in rows]))
    assert collection.sample(10)[0] == rows
    assert collection.sample(10, seed=1)[0] != rows
    assert [row.id for row in collection.sample(99)[0]] == list(range(1, 50, 2))


def test_a_commit_of_another_model_is_not_taken_over(store: Store) -> None:
    """The reader stays usable, and cannot save."""
    writer = store.new(6)
    writer.model = {"fingerprint": "one"}
    writer.add(["a", "b"], vectors(2), fingerprint="one")
    writer.save(store.place("i"))
    reader = store.open(store.place("i"))
    writer.model = {"fingerprint": "other"}
    writer.delete([0])
    writer.save()
    for _ in range(2):
        with pytest.raises(IndexChangedError, match="another model"):
            reader.refresh()
    with pytest.raises(IndexChangedError, match="another model"):
        reader.search(vectors(1), fingerprint="other")
    assert reader.reopened().model == {"fingerprint": "other"}
    reader.add(["c"], vectors(1, 1))
    with pytest.raises(IndexChangedError):
        reader.save()


def test_changes_are_thrown_away_where_asked(store: Store) -> None:
    writer = store.new(6)
    writer.add(["a"], vectors(1))
    writer.save(store.place("i"))
    writer.add(["b"], vectors(1, 1))
    writer.delete([0])
    assert writer.refresh(discard=True)
    assert [row.text for row, _ in writer.rows()] == ["a"]
    writer.add(["b"], vectors(1, 1))
    writer.save()
    assert len(store.open(store.place("i"))) == 2


def test_an_index_that_goes_while_it_is_read_again_has_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Collection(2)
    writer.add(["a"], np.eye(2, dtype=np.float32)[:1])
    writer.save(tmp_path / "i")
    reader = Collection.open(tmp_path / "i")
    writer.add(["b"], np.eye(2, dtype=np.float32)[1:])
    writer.save()
    real = collection.stamp_of

    def looked_at(*arguments: Any) -> Any:
        found = real(*arguments)
        (tmp_path / "i" / MANIFEST).unlink(missing_ok=True)  # between the look and the reading
        return found

    monkeypatch.setattr(collection, "stamp_of", looked_at)
    with pytest.raises(IndexChangedError, match="is not an index folder"):
        reader.refresh()
    assert len(reader) == 1
