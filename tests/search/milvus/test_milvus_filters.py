"""Filters in Milvus give the same answers as in a folder, and follow their definition."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcse_kit.search import BaseCollection, Collection
from simcse_kit.search.milvus.filters import MOST_TERMS, TERM_BYTES, terms
from support.filtering import CONDITIONS, METADATA, plain
from support.stores import Store


def untyped(collection: BaseCollection) -> BaseCollection:
    """Like an index with unknown fields: random values have no single type, and conditions use any field."""
    collection._snapshot = replace(collection._snapshot, fields=None)
    return collection


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BaseCollection]:
    """One collection, emptied again by each example: making one takes longer than an example."""
    store = Store(Path())
    collection = untyped(store.new(2))
    collection.save(store.place())
    yield collection
    store.close()


def answers(collection: BaseCollection, condition: dict[str, Any]) -> list[int]:
    found = collection.search(np.ones((1, 2)), 99, filter=condition)[0]
    assert [hit.id for hit in found] == sorted(hit.id for hit in found)  # type: ignore[type-var]
    return [int(hit.text) for hit in found]


def add(collection: BaseCollection, metadata: list[dict[str, Any] | None]) -> None:
    texts = [str(i) for i in range(len(metadata))]
    collection.add(texts, np.ones((len(texts), 2), np.float32), metadata=metadata)


@settings(max_examples=120, deadline=None)
@given(
    conditions=st.lists(CONDITIONS, min_size=1, max_size=8),
    metadata=st.lists(METADATA, min_size=1, max_size=6),
    saved=st.integers(0, 6),
)
def test_milvus_answers_as_a_folder_does(
    conditions: list[dict[str, Any]], metadata: list[dict[str, Any] | None], saved: int, kept: BaseCollection
) -> None:
    folder = untyped(Collection(2))
    add(folder, metadata)
    try:
        texts = [str(i) for i in range(len(metadata))]
        ones = np.ones((len(texts), 2), np.float32)
        kept.add(texts[:saved], ones[:saved], metadata=metadata[:saved])
        kept.save()
        kept.add(texts[saved:], ones[saved:], metadata=metadata[saved:])
        assert [row.metadata for row, _ in kept.rows()] == metadata
        for condition in conditions:
            expected = [i for i, one in enumerate(metadata) if plain(condition, one)]
            assert answers(kept, condition) == expected, condition
            assert answers(folder, condition) == expected
    finally:
        kept.delete([row.id for row, _ in kept.rows()])
        kept.save()


STRANGE: list[dict[str, Any] | None] = [
    {"n": 2**53 + 1, "t": "a\nb"},
    {"n": 2**53, "t": "a\tb\r"},
    {"n": float(2**53), "t": "say \"no\" \\ 'yes'"},
    {"n": -(2**63), "t": "\u2028 안녕 \x07 é"},
    {"n": 2**63 - 1, "t": "é"},
    {"n": 1e300, "t": "z" * 3000},
    {"n": -0.0, "t": ""},
    {"n": 5e-324, "t": "E"},
    {"n": 0.1 + 0.2, "t": "0.3"},
    {"n": True, "t": None},
    {"n": "1", "t": ["a"]},
    {"k\ne'y": 1, "": {"": 2}, "ключ": {"x y": "й"}, "$odd": {"$odd": 1}},
    {"deep": {"a": {"b": {"c": {"d": 5}}}}},
    {},
    None,
]


def test_strange_values_and_keys(store: Store) -> None:
    collection, folder = store.new(2), Collection(2)
    add(collection, STRANGE)
    collection.save(store.place())
    add(folder, STRANGE)
    conditions: list[dict[str, Any]] = [{"t": {"$gt": "a"}}, {"n": {"$lt": 0.5}}, {"deep.a.b.c": {"$exists": True}}]
    values = [value for one in STRANGE if one for value in (one.get("n"), one.get("t")) if not isinstance(value, list)]
    for value in values:
        for key in ("n", "t"):
            conditions += [{key: value}, {key: {"$ne": value}}]
            if value is not None and not isinstance(value, bool):
                conditions += [{key: {op: value}} for op in ("$gt", "$gte", "$lt", "$lte")]
    conditions += [{"n": {"$in": values}}, {"n": {"$nin": values}}, {"n": {"$in": []}}, {"$not": {"$and": []}}]
    conditions += [{"k\ne'y": 1}, {".": 2}, {"ключ.x y": "й"}, {"deep.a.b.c.d": {"$gte": 5}}, {"$not": {"deep.a": 1}}]
    conditions += [{"n": {"$in": list(range(5000))}}, {"t": {"$nin": [f"text {i}" for i in range(5000)]}}]
    conditions += [{"$or": [{"n": {"$gt": i}} for i in range(300)]}, {"$and": [{"n": {"$ne": i}} for i in range(2000)]}]
    for condition in conditions:
        expected = [i for i, one in enumerate(STRANGE) if plain(condition, one)]
        assert answers(collection, condition) == expected, condition
        assert answers(folder, condition) == expected, condition


def test_integers_without_end(store: Store) -> None:
    """A filter may name any number; Milvus and SQLite have no integers of more than 64 bits."""
    collection, folder = store.new(2), Collection(2)
    for one in (collection, folder):
        add(one, [{"n": 2**63 - 1}, {"n": 1e30}, {"n": -1}])
    collection.save(store.place())
    for one in (collection, folder):
        assert answers(one, {"n": {"$lt": 2**70}}) == [0, 2]
        assert answers(one, {"n": {"$gt": -(2**70)}}) == [0, 1, 2]
        assert answers(one, {"n": 10**30}) == [1]


def test_filters_change_and_delete(store: Store) -> None:
    """Deleting by a filter takes saved and unsaved rows."""
    collection = store.new(2)
    add(collection, [{"n": i} for i in range(6)])
    collection.save(store.place())
    add(collection, [{"n": i} for i in range(6)])
    collection.update(["0"], np.ones((1, 2), np.float32), [0], [{"n": 9}])
    assert collection.delete(filter={"n": {"$in": [0, 1, 9]}}) == 4
    collection.save()
    assert [row.metadata for row, _ in collection.rows()] == [{"n": i} for i in (2, 3, 4, 5)] * 2


@given(METADATA)
def test_terms_fit(metadata: dict[str, Any] | None) -> None:
    found = terms(None if metadata is None else json.loads(json.dumps(metadata)))
    assert len(found) == len(set(found)) <= MOST_TERMS
    assert all(len(term.encode()) <= TERM_BYTES for term in found)
