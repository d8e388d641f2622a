"""Types of metadata: decided once over a file, stored with the index, and used by filters."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from simcse_kit import DataError, Notice, SearchIndexError, SentenceIndex, SimCSE, add_files, build_index, errors
from support.stores import Store
from support.tiny import SENTENCES

SHOP = """key,text,price,rating,sold,zip,date,size,open
a,A blue violin.,19.90,4.0,3,01234,2024-05-01,7,true
b,A red violin.,19.95,4.5,,80331,2024-11-30,n/a,FALSE
c,A green violin.,20.00,5,12,10115,2025-01-02,8,
d,Potatoes.,9.5,3,7,20095,2023-01-01,9,true
"""
SHOP_FIELDS = ["price", "rating", "sold", "zip", "date", "size", "open"]


def _shop(model: SimCSE, tmp_path: Path, store: Store) -> SentenceIndex:
    (tmp_path / "shop.csv").write_text(SHOP, encoding="utf-8")
    with pytest.warns(Notice, match=r"column size is stored as text: its values are 3 integer and 1 text \(first "):
        index, _ = build_index(
            model,
            tmp_path / "shop.csv",
            store.place("shop"),
            columns=["text"],
            id_column="key",
            metadata_columns=SHOP_FIELDS,
            **store.options,
        )
    return index


def test_a_column_has_one_type_over_the_whole_file(model: SimCSE, tmp_path: Path, store: Store) -> None:
    errors._said.clear()
    _shop(model, tmp_path, store)
    index = SentenceIndex.open(store.place("shop"), model, **store.options)
    assert index.get(["a", "b"]) == [
        (
            "a",
            "A blue violin.",
            {"price": 19.9, "rating": 4.0, "sold": 3, "zip": "01234", "date": "2024-05-01", "size": "7", "open": True},
        ),
        (
            "b",
            "A red violin.",
            {"price": 19.95, "rating": 4.5, "zip": "80331", "date": "2024-11-30", "size": "n/a", "open": False},
        ),
    ]
    assert index.fields == index.info().fields
    assert index.fields == {
        "price": "float",
        "rating": "float",
        "sold": "integer",
        "zip": "text",
        "date": "text",
        "size": "text",
        "open": "boolean",
    }

    def found(condition: dict[str, Any]) -> list[str]:
        return sorted(str(hit.id) for hit in index.search("violin", k=9, filter=condition))

    assert found({"price": {"$gte": 10}}) == ["a", "b", "c"]
    assert found({"rating": {"$gte": 4}}) == ["a", "b", "c"]
    assert found({"zip": "01234"}) == ["a"]
    assert found({"date": {"$gte": "2024-06"}}) == ["b", "c"]
    assert found({"open": True}) == ["a", "d"]


def test_what_breaks_a_field_is_refused(model: SimCSE, tmp_path: Path, store: Store) -> None:
    errors._said.clear()
    _shop(model, tmp_path, store)
    index = SentenceIndex.open(store.place("shop"), model, **store.options)
    more = tmp_path / "more.csv"
    more.write_text("key,text,price,zip\ne,A cello.,5,1\nf,A harp.,ask us,2\n")
    given: dict[str, Any] = {"columns": ["text"], "id_column": "key", "metadata_columns": ["price", "zip"]}
    with pytest.raises(
        DataError, match=r"more\.csv, line 3: column price has type float in this index, found 'ask us'"
    ):
        add_files(index, more, **given)
    with pytest.raises(SearchIndexError, match=r"metadata number 1: price has type float in this index; got 'cheap'"):
        index.add(["x", "y"], ["x", "y"], [{"price": 3}, {"price": "cheap"}])
    with pytest.raises(SearchIndexError, match=r"price has type float"):
        index.update(["x"], ["a"], [{"price": True}])
    assert len(index) == 4
    more.write_text("key,text,price,zip\ne,A cello.,5,1\n")
    add_files(index, more, **given)
    assert index.get(["e"])[0].metadata == {"price": 5.0, "zip": "1"}


def test_a_filter_on_an_unknown_field_names_the_fields(model: SimCSE, tmp_path: Path, store: Store) -> None:
    index = SentenceIndex.build(
        model,
        SENTENCES[:3],
        metadata=[{"n": 1, "tag": {"kind": "a"}}, {"n": 2.5}, None],
        folder=store.place("x"),
        **store.options,
    )
    index.save()
    text = r"compares 'year', but no sentence .*; its fields are: n \(float\), tag \(object\). Only \$exists accepts"
    for opened in (index, SentenceIndex.open(store.place("x"), model, **store.options)):
        for condition in ({"year": 1}, {"year": {"$ne": 1}}, {"$or": [{"n": 1}, {"$not": {"year.of": {"$lt": 2}}}]}):
            with pytest.raises(SearchIndexError, match=text):
                opened.search("x", filter=condition)
            with pytest.raises(SearchIndexError, match=text):
                opened.delete(filter=condition)
        assert opened.search("x", filter={"year": {"$exists": True}}) == []
        assert [hit.id for hit in opened.search("x", filter={"tag.kind": "a"})] == [0]
        for value in ("2.5", True, {"$in": [2.5, "1"]}, {"$ne": "1"}, {"$gt": "0"}):
            with pytest.raises(SearchIndexError, match=r"compares .n., which is float .* no sentence"):
                opened.search("x", filter={"n": value})
        assert [hit.id for hit in opened.search("x", filter={"n": 1})] == [0]  # numbers of any kind


def test_an_index_of_before_the_fields_were_kept_has_no_such_check(
    model: SimCSE, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("simcse_kit.search.base.with_rows", lambda fields, metadata: None)
        SentenceIndex.build(model, SENTENCES[:3], metadata=[{"n": 1}] * 3).save(tmp_path / "i")
    index = SentenceIndex.open(tmp_path / "i", model)
    assert index.fields is None
    assert index.search("x", filter={"year": 1}) == []
    index.add(["x"], metadata=[{"n": "text"}])
    assert len(index.search("x", filter={"n": "text"})) == 1


def test_decimals_dates_and_nan_of_parquet(model: SimCSE, tmp_path: Path) -> None:
    rows = {
        "text": ["one", "two"],
        "price": [Decimal("19.90"), Decimal("20.00")],
        "day": [date(2024, 5, 1), date(2024, 11, 30)],
        "weight": [math.nan, 2.0],
        "code": ["7", "8"],  # strings: the file has types
    }
    pq.write_table(pa.table(rows), tmp_path / "t.parquet")
    index, _ = build_index(
        model, tmp_path / "t.parquet", tmp_path / "i", metadata_columns=["price", "day", "weight", "code"]
    )
    assert [row.metadata for row in index.get([0, 1])] == [
        {"price": 19.9, "day": "2024-05-01", "code": "7"},
        {"price": 20.0, "day": "2024-11-30", "weight": 2.0, "code": "8"},
    ]
