"""A collection, in folders and in Milvus: exact cosine search, ids, and what saving keeps."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from simcse_kit import SearchIndexError
from simcse_kit.search import BaseCollection, Hit
from simcse_kit.search.collection import Collection
from support.stores import Store


def vectors(count: int, seed: int = 0, dimension: int = 6) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, dimension)).astype(np.float32)


def texts(collection: BaseCollection) -> list[str]:
    return [row.text for row, _ in collection.rows()]


def filled(store: Store, count: int = 20, seed: int = 0) -> BaseCollection:
    collection = store.new(6)
    collection.add([f"text {i}" for i in range(count)], vectors(count, seed))
    return collection


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    count=st.integers(0, 40),
    k=st.integers(1, 50),
    seed=st.integers(0, 99),
    threshold=st.sampled_from([None, -0.5, 0.3]),
    saved=st.booleans(),
)
def test_search_is_brute_force_cosine(
    count: int, k: int, seed: int, threshold: float | None, saved: bool, store: Store
) -> None:
    collection = filled(store, count, seed)
    if saved:
        collection.save(store.place())
    queries = vectors(3, seed + 1000)
    cosine = np.array(
        [[q @ v / (np.linalg.norm(q) * np.linalg.norm(v)) for v in vectors(count, seed)] for q in queries]
    ).reshape(3, count)
    for row, hits in zip(cosine, collection.search(queries, k, threshold), strict=True):
        best = [i for i in np.argsort(-row, kind="stable")[:k] if threshold is None or row[i] >= threshold]
        assert [hit.id for hit in hits] == best
        assert [hit.text for hit in hits] == [f"text {i}" for i in best]
        np.testing.assert_allclose([hit.score for hit in hits], row[best], atol=1e-5)


def test_numpys_integer_is_a_count(store: Store) -> None:
    collection = filled(store)
    expected = collection.search(vectors(2, 5), 3)
    assert collection.search(vectors(2, 5), np.int64(3)) == expected
    assert collection.similar(2, np.int32(3)) == collection.similar(2, 3)
    for wrong in (2.5, True, "3", np.float32(3)):
        with pytest.raises(SearchIndexError, match="k must be an integer of at least 1"):
            collection.search(vectors(2, 5), wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_vectors_of_any_length_are_found_by_their_direction(scale: float, store: Store) -> None:
    factor = np.float32(scale)
    collection = store.new(6)
    collection.add([f"text {i}" for i in range(20)], vectors(20) * factor)
    for found, expected in zip(
        collection.search(vectors(2, 5) * factor, 20), filled(store).search(vectors(2, 5), 20), strict=True
    ):
        assert [hit.id for hit in found] == [hit.id for hit in expected]
        np.testing.assert_allclose([hit.score for hit in found], [hit.score for hit in expected], atol=1e-5)


def test_queries_are_left_as_they_are_and_hits_are_plain_values(store: Store) -> None:
    queries = vectors(2, 5)
    before = queries.copy()
    hit = filled(store).search(queries, 1)[0][0]
    np.testing.assert_array_equal(queries, before)
    assert (type(hit.id), type(hit.text), type(hit.score)) == (int, str, float)
    assert isinstance(hit, Hit)


def test_adding_in_parts_is_adding_at_once(store: Store) -> None:
    parts = store.new(6)
    parts.add([f"text {i}" for i in range(8)], vectors(20)[:8])
    parts.add([], vectors(0))
    parts.add([f"text {i}" for i in range(8, 20)], vectors(20)[8:])
    assert parts.search(vectors(3, 9), 20) == filled(store).search(vectors(3, 9), 20)
    assert [row.id for row, _ in parts.rows()] == list(range(20))


def test_equal_texts_and_vectors_are_kept_apart(store: Store) -> None:
    collection = store.new(2)
    collection.add(["same", "same"], np.ones((2, 2), np.float32))
    assert {(hit.id, hit.text) for hit in collection.search(np.ones((1, 2)), 5)[0]} == {(0, "same"), (1, "same")}


@pytest.mark.parametrize("ids", [["b", "a"], [7, -3], np.array([5, 2**40])])
def test_ids_of_the_users(ids: Any, store: Store) -> None:
    collection = store.new(2)
    collection.add(["x", "y"], np.eye(2, dtype=np.float32), ids)
    collection.save(store.place("i"))
    for one in (collection, store.open(store.place("i"))):
        assert [hit.id for hit in one.search(np.array([[1.0, 0.1]]), 2)[0]] == list(ids)
    if not isinstance(ids[0], str):
        collection.add(["z"], np.ones((1, 2), np.float32))
        assert [row.id for row, _ in collection.rows()][-1] == max(ids) + 1


@pytest.mark.parametrize(
    ("first", "ids", "text"),
    [
        (None, [0], "id 0 already exists"),
        (None, ["a"], "all integers or all strings"),
        (["x", "y"], None, "give ids"),
        (["x", "y"], ["y"], "id 'y' already exists"),
        (None, [1.5], "an integer or a string; got 1.5"),
        (None, [True], "an integer or a string; got True"),
        (None, [5, 6], "1 texts need 1 ids; got 2"),
    ],
)
def test_ids_that_are_refused_change_nothing(first: Any, ids: Any, text: str, store: Store) -> None:
    collection = store.new(2)
    collection.add(["x", "y"], np.eye(2, dtype=np.float32), first)
    with pytest.raises(SearchIndexError, match=text):
        collection.add(["z"], np.ones((1, 2), np.float32), ids)
    assert len(collection) == 2
    assert len(collection.search(np.ones((1, 2)), 9)[0]) == 2


def test_ids_repeated_within_one_call(store: Store) -> None:
    with pytest.raises(SearchIndexError, match="id 4 occurs twice"):
        store.new(2).add(["x", "y"], np.eye(2, dtype=np.float32), [4, 4])
    with pytest.raises(SearchIndexError, match="all integers or all strings"):
        store.new(2).add(["x", "y"], np.eye(2, dtype=np.float32), [4, "4"])


def test_wrong_shapes_and_values(store: Store) -> None:
    with pytest.raises(SearchIndexError, match=r"2 texts need vectors of \(2, 6\); got \(1, 6\)"):
        store.new(6).add(["a", "b"], vectors(1))
    with pytest.raises(SearchIndexError, match="text number 1 is not finite"):
        store.new(6).add(["a", "b"], vectors(2) * np.array([[1], [np.nan]]))
    for odd in (np.nan, np.inf):
        with pytest.raises(SearchIndexError, match="the vector of query number 1 is not finite"):
            filled(store).search(vectors(2) * np.array([[1], [odd]]))
    with pytest.raises(SearchIndexError, match="6 dimensions, the query has 5"):
        filled(store).search(vectors(1)[:, :5])
    with pytest.raises(SearchIndexError, match="k must be an integer of at least 1"):
        filled(store).search(vectors(1), 0)


def test_an_empty_index(store: Store) -> None:
    collection = store.new(6)
    assert collection.search(vectors(2)) == [[], []]
    collection.save(store.place("i"))
    again = store.open(store.place("i"))
    assert len(again) == 0
    again.add(["a"], vectors(1), ["x"])
    again.save()
    assert [row.id for row, _ in store.open(store.place("i")).rows()] == ["x"]


def test_saving_then_opening_changes_nothing(store: Store) -> None:
    collection = filled(store)
    strange = "zwei\nZeilen, 안녕 \t \u2028 end\x00"
    metadata = {"a b": [1, 2.5, None, {"ü": True}], "": "x"}
    collection.add([strange], vectors(1, 9), metadata=[metadata])
    collection.model = {"name": "m", "fingerprint": "f"}
    assert collection.save(store.place("i")) == store.place("i")
    again = store.open(store.place("i"))
    assert again.get([20])[0] == (20, strange, metadata)
    assert [row for row, _ in again.rows()] == [row for row, _ in collection.rows()]
    assert (again.model, len(again)) == (collection.model, 21)
    assert again.search(vectors(4, 3), 7) == collection.search(vectors(4, 3), 7)


def test_memory_is_not_the_disk_until_save(store: Store) -> None:
    collection = filled(store)
    collection.save(store.place("i"))
    collection.add(["new"], vectors(1, 7))
    assert len(store.open(store.place("i"))) == 20
    collection.save()
    assert len(store.open(store.place("i"))) == 21


def test_two_writers(store: Store) -> None:
    """Saving the second would drop the rows of the first: it raises an error."""
    filled(store).save(store.place("i"))
    one, two = store.open(store.place("i")), store.open(store.place("i"))
    one.add(["one"], vectors(1, 1))
    two.add(["two"], vectors(1, 2))
    one.save()
    with pytest.raises(SearchIndexError, match="another process changed"):
        two.save()
    assert texts(store.open(store.place("i")))[-1] == "one"


def test_saving_elsewhere_is_a_copy(store: Store) -> None:
    collection = filled(store)
    collection.save(store.place("a"))
    collection.save(store.place("b"))
    collection.add(["new"], vectors(1, 7))
    collection.save()
    assert (len(store.open(store.place("a"))), len(store.open(store.place("b")))) == (20, 21)


def test_a_row_is_not_its_own_neighbour() -> None:
    """Not even where its repeats are as near as itself."""
    held = np.eye(4, dtype=np.float32)[[0, 0, 0, 1]] + np.float32(0.1)
    collection = Collection(4)
    collection.add([""] * 4, held)
    ((numbers, found),) = collection.neighbors(2, batch=10)
    assert numbers.tolist() == [0, 1, 2, 3]
    assert [sorted(row) for row in found.rows[:3].tolist()] == [[1, 2], [0, 2], [0, 1]]
    assert 3 not in found.rows[3]
