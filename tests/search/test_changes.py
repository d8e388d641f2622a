"""Deleting, updating, filtering and compacting: always the answers of a plain dictionary with the same rows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from simcse_kit import SearchIndexError
from simcse_kit.search import BaseCollection
from support.stores import MILVUS, Store

DIMENSION = 6


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, DIMENSION)).astype(np.float32)


def filled(store: Store, count: int = 20, **options: Any) -> BaseCollection:
    collection = store.new(DIMENSION, **options)
    metadata = [{"even": i % 2 == 0, "number": i, "name": f"n{i}"} for i in range(count)]
    collection.add([f"text {i}" for i in range(count)], vectors(count), metadata=metadata)
    return collection


def ids(collection: BaseCollection) -> list[int | str]:
    return [row.id for row, _ in collection.rows()]


class Life(RuleBasedStateMachine):
    """Any sequence of changes, commits and openings."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: dict[int | str, tuple[str, np.ndarray]] = {}
        self.seed = 0

    @initialize()
    def begin(self) -> None:
        import tempfile

        self.temporary = tempfile.TemporaryDirectory()
        self.store = Store(Path(self.temporary.name))
        self.place = self.store.place("i")
        self.collection = self.store.new(DIMENSION)

    def teardown(self) -> None:
        self.store.close()
        self.temporary.cleanup()

    @rule(count=st.integers(1, 9))
    def add(self, count: int) -> None:
        self.seed += 1
        texts, given = [f"{self.seed} {i}" for i in range(count)], vectors(count, self.seed)
        first = self.collection._next_id
        self.collection.add(texts, given)
        self.rows |= {first + i: (text, given[i]) for i, text in enumerate(texts)}

    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        if self.rows:
            gone = data.draw(st.lists(st.sampled_from(sorted(self.rows)), unique=True, min_size=1, max_size=5))
            assert self.collection.delete(gone) == len(gone)
            for key in gone:
                del self.rows[key]

    @rule(data=st.data())
    def update(self, data: st.DataObject) -> None:
        if self.rows:
            self.seed += 1
            key, given = data.draw(st.sampled_from(sorted(self.rows))), vectors(1, self.seed)
            self.collection.update([f"again {self.seed}"], given, [key])
            self.rows[key] = f"again {self.seed}", given[0]

    @rule()
    def save(self) -> None:
        self.collection.save(self.place)

    @rule()
    def compact(self) -> None:
        self.collection.save(self.place)
        self.collection.compact()
        assert self.collection.info().deleted == 0

    @rule()
    def open(self) -> None:
        self.collection.save(self.place)
        self.collection = self.store.open(self.place)
        self.collection.verify()

    @invariant()
    def answers_like_a_dictionary(self) -> None:
        assert len(self.collection) == len(self.rows)
        assert {row.id: row.text for row, _ in self.collection.rows()} == {
            key: text for key, (text, _) in self.rows.items()
        }
        if self.rows:
            query = vectors(1, 10_000)[0]
            cosine = {
                k: float(query @ v / np.linalg.norm(query) / np.linalg.norm(v)) for k, (_, v) in self.rows.items()
            }
            best = sorted(cosine, key=lambda key: -cosine[key])[:3]
            hits = self.collection.search(query[None], 3)[0]
            assert [hit.id for hit in hits] == best
            assert [hit.text for hit in hits] == [self.rows[key][0] for key in best]


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=10 if MILVUS else 25, stateful_step_count=25, deadline=None)


def test_an_id_is_free_again_once_it_is_deleted(store: Store) -> None:
    collection = filled(store, 3)
    collection.save(store.place("i"))
    with pytest.raises(SearchIndexError, match="id 1 already exists; use update"):
        collection.add(["again"], vectors(1, 3), [1])
    collection.delete([1])
    collection.add(["again"], vectors(1, 3), [1])
    collection.save()
    assert store.open(store.place("i")).get([1])[0].text == "again"
    collection.compact()
    assert sorted(ids(store.open(store.place("i")))) == [0, 1, 2]
    collection.delete([2])
    collection.add(["next"], vectors(1, 4))
    assert ids(collection)[-1] == 3  # numbers are not given twice


@pytest.mark.parametrize("saved", [False, True])
def test_what_is_not_there_is_named_and_nothing_changes(saved: bool, store: Store) -> None:
    collection = filled(store, 5)
    if saved:
        collection.save(store.place("i"))
    for call in (
        lambda: collection.delete([2, 9]),
        lambda: collection.update(["a", "b"], vectors(2), [2, 9]),
        lambda: collection.get([9]),
        lambda: collection.similar(9),
    ):
        with pytest.raises(SearchIndexError, match="this index has no id 9"):
            call()
    with pytest.raises(SearchIndexError, match="ids or a filter"):
        collection.delete()
    with pytest.raises(SearchIndexError, match="ids or a filter"):
        collection.delete([1], filter={"even": True})
    assert ids(collection) == [0, 1, 2, 3, 4]


def test_similar_is_a_search_by_the_rows_own_vector(store: Store) -> None:
    collection = filled(store, 20)
    hits = collection.similar(3, 4)
    expected = [hit for hit in collection.search(vectors(20)[3:4], 5)[0] if hit.id != 3]
    assert [hit.id for hit in hits] == [hit.id for hit in expected]
    np.testing.assert_allclose([hit.score for hit in hits], [hit.score for hit in expected], atol=1e-6)


@pytest.mark.parametrize("saved", [False, True])
def test_a_filter_is_searching_the_rows_that_meet_it(saved: bool, store: Store) -> None:
    collection = filled(store, 40)
    if saved:
        collection.save(store.place("i"))
        collection = store.open(store.place("i"))
    collection.delete([4])
    query = vectors(1, 99)
    everything = collection.search(query, 99)[0]
    for condition, meets in (
        ({"even": True}, lambda m: m["even"]),
        ({"number": {"$gte": 10, "$lt": 20}, "even": False}, lambda m: 10 <= m["number"] < 20 and not m["even"]),
        ({"$or": [{"name": "n3"}, {"number": {"$in": [7, 8]}}]}, lambda m: m["number"] in (3, 7, 8)),
    ):
        expected = [hit for hit in everything if meets(hit.metadata)]
        assert collection.search(query, 99, filter=condition)[0] == expected
        assert collection.search(query, 2, filter=condition)[0] == expected[:2]
    assert collection.delete(filter={"number": {"$gt": 30}}) == 9
    assert len(collection) == 30
    assert collection.search(query, 5, filter={"number": {"$gt": 30}}) == [[]]


def nested(levels: int) -> dict[str, Any]:
    """An object nested to this depth."""
    value: Any = 1
    for level in range(levels - 1):
        value = {"a": value} if level % 2 else [value]
    return {"a": value}


@pytest.mark.parametrize(
    ("metadata", "text"),
    [
        ([["a"]], "metadata number 0 must be a JSON object"),
        ([{"x": float("nan")}], "metadata number 0: x is nan, which JSON does not support"),
        ([{"x": {1, 2}}], "metadata number 0 cannot be stored: "),
        (
            [{"x": "y" * 2**20}],
            r"metadata number 0 cannot be stored: 1,048,585 characters of JSON: metadata may have at most",
        ),
        ([nested(65)], "metadata number 0 cannot be stored: metadata may be nested at most 64 levels"),
        ([nested(20_000)], "metadata number 0 cannot be stored: metadata may be nested at most 64 levels"),
        ([{"x": "\ud800"}], "metadata number 0 has half of a surrogate pair"),
        ([None, None], "1 texts need 1 metadata objects"),
    ],
)
def test_metadata_that_is_refused(metadata: Any, text: str, store: Store) -> None:
    collection = store.new(DIMENSION)
    with pytest.raises(SearchIndexError, match=text):
        collection.add(["a"], vectors(1), metadata=metadata)
    assert len(collection) == 0


def test_metadata_at_the_limits_come_back(store: Store) -> None:
    collection = store.new(DIMENSION)
    collection.add(["a", "b"], vectors(2), metadata=[nested(64), {"x": "y" * 60_000}])
    collection.save(store.place("i"))
    assert [row.metadata for row in store.open("i").get([0, 1])] == [nested(64), {"x": "y" * 60_000}]


def test_texts_and_ids_that_no_store_can_hold_are_refused(store: Store) -> None:
    collection = store.new(DIMENSION)
    with pytest.raises(SearchIndexError, match="text number 1 has half of a surrogate pair at character 2"):
        collection.add(["a", "ab\ud800"], vectors(2))
    with pytest.raises(SearchIndexError, match="at most 64 bits"):
        collection.add(["a"], vectors(1), [2**70])
    collection.add(["a"], vectors(1), [2**62])
    assert ids(collection) == [2**62]
