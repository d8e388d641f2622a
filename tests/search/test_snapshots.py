"""Readers see one state: during changes, commits, compactions and moves they see the state before or after."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import FrozenInstanceError
from pathlib import Path

import numpy as np
import pytest

from simcse_kit.search import Collection
from simcse_kit.search.base import BaseCollection

COUNT, DIMENSION = 40, 8


def vectors(count: int = COUNT, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)


def texts(version: int) -> list[str]:
    return [f"version {version} row {i}" for i in range(COUNT)]


def filled(folder: Path) -> Collection:
    made = Collection(DIMENSION)
    made.add(texts(0), vectors(), metadata=[{"version": 0}] * COUNT)
    made.save(folder)
    return made


def to_version(collection: Collection, version: int) -> None:
    """All rows in one change, and a row that is added and deleted."""
    collection.update(texts(version), vectors(), list(range(COUNT)), [{"version": version}] * COUNT)


def check_one_state(collection: Collection) -> None:
    """All rows are of one version, each once, in every way to read."""
    found = collection.search(vectors(1, 5), COUNT)[0]
    assert sorted(hit.id for hit in found) == list(range(COUNT))  # type: ignore[type-var]
    assert len({hit.text.split()[1] for hit in found}) == 1
    assert len({row.text.split()[1] for row in collection.get(list(range(COUNT)))}) == 1
    assert len(collection.similar(3, COUNT)) == COUNT - 1
    rows, drawn = collection.sample(10)
    np.testing.assert_allclose(np.abs((drawn @ unit()[[row.id for row in rows]].T).diagonal()), 1, atol=1e-5)
    assert len([row for row, _ in collection.rows()]) == COUNT
    found = collection.search(vectors(1, 5), COUNT, filter={"version": {"$gte": 0}})[0]
    assert len({hit.text.split()[1] for hit in found}) == 1
    assert len(collection.vectors_of([0, COUNT - 1])) == 2


def unit() -> np.ndarray:
    made = vectors()
    return made / np.linalg.norm(made, axis=1, keepdims=True)


def while_reading(collection: Collection, change: Callable[[int], None], rounds: int = 15) -> int:
    """Read in two threads while ``change`` is called; returns how often was read."""
    problems: list[BaseException] = []
    counts = [0, 0]
    done = threading.Event()

    def read(number: int) -> None:
        try:
            while not done.is_set() or not counts[number]:
                check_one_state(collection)
                counts[number] += 1
        except BaseException as problem:
            problems.append(problem)

    readers = [threading.Thread(target=read, args=(number,)) for number in range(2)]
    for reader in readers:
        reader.start()
    try:
        for version in range(1, rounds + 1):
            change(version)
    finally:
        done.set()
        for reader in readers:
            reader.join()
    if problems:
        raise problems[0]
    return sum(counts)


def test_reading_while_the_same_index_changes_commits_and_compacts(tmp_path: Path) -> None:
    collection = filled(tmp_path / "i")

    def change(version: int) -> None:
        to_version(collection, version)
        collection.save()
        if version % 3 == 0:
            collection.compact()

    assert while_reading(collection, change)
    assert {row.text.split()[1] for row in collection.get(list(range(COUNT)))} == {"15"}


def test_reading_while_another_commits_and_compacts_and_this_one_refreshes(tmp_path: Path) -> None:
    writer = filled(tmp_path / "i")
    reader = Collection.open(tmp_path / "i")

    def change(version: int) -> None:
        to_version(writer, version)
        writer.save()
        if version % 2:
            writer.compact()
        assert reader.refresh()

    assert while_reading(reader, change)
    assert reader.get([0])[0].text == "version 15 row 0"


def test_a_call_that_has_begun_stays_with_its_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A compaction between finding a row's number and reading it renumbers: the reader must not notice."""
    writer = filled(tmp_path / "i")
    reader = Collection.open(tmp_path / "i")
    writer.delete([0, 1, 2])
    writer.compact()
    numbers = BaseCollection._numbers

    def slow(self: BaseCollection, ids: list[int]) -> list[int]:
        found = numbers(self, ids)
        reader.refresh()
        return found

    monkeypatch.setattr(BaseCollection, "_numbers", slow)
    assert reader.get([5])[0].text == "version 0 row 5"
    monkeypatch.setattr(BaseCollection, "_numbers", numbers)
    assert len(reader) == COUNT - 3


def test_what_was_mined_or_clustered_keeps_its_rows(tmp_path: Path) -> None:
    """Its rows are read later, by number, and numbers change with a compaction."""
    from simcse_kit.search import cluster_rows, mine

    collection = filled(tmp_path / "i")
    pairs, groups = mine(collection, -1.0, 3), cluster_rows(collection, 2)
    wanted, labels = [(one.first.id, one.second.id) for one in pairs], [(row.id, n) for row, n in groups.rows()]
    collection.delete(list(range(10)))
    collection.compact()
    assert [(one.first.id, one.second.id) for one in pairs] == wanted
    assert [(row.id, label) for row, label in groups.rows()] == labels


def test_a_change_that_fails_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An update deletes and adds; where adding fails, nothing is deleted, then or by the next commit."""
    collection = filled(tmp_path / "i")
    with monkeypatch.context() as patch:
        patch.setattr("simcse_kit.search.rows.RowTable.add", lambda *arguments: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            to_version(collection, 1)
    assert len(collection) == COUNT
    collection.add(["one more"], vectors(1, 9))
    collection.save()
    again = Collection.open(tmp_path / "i")
    again.verify()
    assert {row.text.split()[1] for row in again.get(list(range(COUNT)))} == {"0"}
    assert len(again) == COUNT + 1


def test_a_snapshot_is_not_changed_but_replaced(tmp_path: Path) -> None:
    collection = filled(tmp_path / "i")
    snapshot = collection._snapshot
    with pytest.raises(FrozenInstanceError):
        snapshot.kind = "flat"  # type: ignore[misc]
    live, count = snapshot.content.live.copy(), len(snapshot.content)
    collection.add(["new"], vectors(1, 3))
    collection.delete([0, 4])
    assert collection._snapshot is not snapshot
    np.testing.assert_array_equal(snapshot.content.live, live)
    assert len(snapshot.content) == count


def test_queries_to_tune_by_outlive_a_refresh(tmp_path: Path) -> None:
    writer = filled(tmp_path / "i")
    reader = Collection.open(tmp_path / "i")
    reader.queries = vectors(3)
    writer.delete([0])
    writer.save()
    assert reader.refresh()
    assert reader.queries is not None
