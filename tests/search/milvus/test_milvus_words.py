"""Search by words and hybrid search in Milvus: its own BM25 over the same words as in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from simcse_kit import SearchIndexError, SimCSE, build_index
from simcse_kit.search import BaseCollection, Collection
from simcse_kit.search.milvus import MilvusCollection
from simcse_kit.search.milvus.schema import TEXT_BYTES
from support.stores import Store, milvus_uri

TEXTS = [
    "error 0x80070057 on start",
    "Error 0x80070058 on stop",
    "서울에서 부산까지",
    "明日、東京へ",
    "part ABC-123",
    "part ABC-124",
]


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, 4)).astype(np.float32)


def fill(made: BaseCollection) -> BaseCollection:
    made.add(TEXTS, vectors(len(TEXTS)), metadata=[{"n": i} for i in range(len(TEXTS))])
    return made


@pytest.fixture
def saved(store: Store) -> BaseCollection:
    made = fill(store.new(4, hybrid=True))
    made.save(store.place("words"))
    return made


def ids(collection: BaseCollection, query: str, **more: Any) -> list[Any]:
    return [hit.id for hit in collection.search_words([query], **more)[0]]


@pytest.mark.parametrize(
    ("query", "first"),
    [("0x80070057", 0), ("서울", 2), ("東京", 3), ("京", 3), ("ABC-123", 4), ('"ABC-124" AND (x', 5)],
)
def test_words_find_what_they_find_in_a_folder(saved: BaseCollection, store: Store, query: str, first: int) -> None:
    folder = fill(Collection(4, hybrid=True))
    for collection in (saved, store.open("words")):
        assert ids(collection, query)[0] == first
        assert set(ids(collection, query)) == set(ids(folder, query))
        hits = collection.search_words([query], vectors=vectors(1, 1))[0]
        assert {hit.id for hit in hits} <= set(range(len(TEXTS)))
        assert all(hit.ranks is not None and hit.score >= 0 for hit in hits)
    assert store.open("words").info().keywords


def test_deleted_rows_and_filters_take_no_places(saved: BaseCollection) -> None:
    assert ids(saved, "error", filter={"n": {"$gte": 1}}) == [1]
    saved.delete([1])
    assert ids(saved, "error") == [0]  # before the save, too
    saved.save()
    assert ids(saved, "error") == [0]
    saved.verify()
    assert saved.search_words(["zzz", ""], 3) == [[], []]


def test_unsaved_rows_are_not_left_out_in_silence(saved: BaseCollection, store: Store) -> None:
    saved.add(["a new error"], vectors(1, 2))
    with pytest.raises(SearchIndexError, match="unsaved ones: save it first"):
        saved.search_words(["error"])
    saved.save()
    assert len(ids(saved, "error")) == 3
    with pytest.raises(SearchIndexError, match="save it first"):
        fill(store.new(4, hybrid=True)).search_words(["error"])


def test_without_keywords_is_an_error(store: Store) -> None:
    made = fill(store.new(4))
    made.save(store.place("plain"))
    assert not made.info().keywords
    with pytest.raises(SearchIndexError, match="no keywords: build it with index build --hybrid") as error:
        made.search_words(["error"])
    assert "compact" not in str(error.value)
    with pytest.raises(SearchIndexError, match="build the index again with --hybrid"):
        made.compact(hybrid=True)
    made.compact(hybrid=False)


def test_another_name_keeps_the_words(saved: BaseCollection, store: Store) -> None:
    saved.save(store.place("copy"))
    assert ids(store.open("copy"), "0x80070057") == [0]


def test_ids_may_become_strings(store: Store) -> None:
    made = store.new(4, hybrid=True)
    made.save(store.place("empty"))
    made.add(["one error"], vectors(1), ["a"])
    made.save()
    assert ids(made, "error") == ["a"]


def test_words_that_do_not_fit_are_named(store: Store) -> None:
    text = "中" * (TEXT_BYTES // 6)  # each letter is in three words
    store.new(4).add([text], vectors(1))
    with pytest.raises(SearchIndexError, match=r"the words of text number 0 take .* bytes.*--passages"):
        store.new(4, hybrid=True).add([text], vectors(1))


def test_a_build_has_keywords(model: SimCSE, store: Store, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS), encoding="utf-8")
    address = f"milvus:{milvus_uri()}/{store.place('built')}"
    built, _ = build_index(model, tmp_path / "texts.txt", address, hybrid=True)
    assert built.search("0x80070057", mode="keyword")[0].id == 0
    assert built.search("0x80070057", mode="hybrid")[0].id == 0
    assert isinstance(store.open("built"), MilvusCollection)
