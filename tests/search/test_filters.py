"""Filters: SQLite's answers match the definition, and invalid filters raise specific errors."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcse_kit import SearchIndexError
from simcse_kit.search.checks import as_json
from simcse_kit.search.filters import parse_filter
from simcse_kit.search.rows import RowTable
from support.filtering import CONDITIONS, METADATA, plain


@settings(max_examples=300, deadline=None)
@given(condition=CONDITIONS, metadata=st.lists(METADATA, min_size=1, max_size=4))
def test_sqlite_answers_by_the_definition(condition: dict[str, Any], metadata: list[dict[str, Any] | None]) -> None:
    rows = RowTable.new()
    texts = [None if one is None else json.dumps(one, ensure_ascii=False) for one in metadata]
    rows.add(0, [f"i{i}" for i in range(len(metadata))], [""] * len(metadata), texts)
    expected = [i for i, one in enumerate(metadata) if plain(condition, one)]
    assert rows.matching(parse_filter(condition)).tolist() == expected


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (["a"], "a filter must be an object"),
        ({"$nor": []}, r"unknown operator \$nor"),
        ({"a": {"$like": "x"}}, r"the filter on a has '\$like'; use one of \$eq"),
        ({"a": {"b": 1}}, "use one of"),
        ({"a": [1]}, r"the filter on a: \$eq takes "),
        ({"a": {"$gt": True}}, r"\$gt takes a text or a number; got True"),
        ({"a": {"$in": 3}}, r"\$in takes a list"),
        ({"a": {"$exists": 1}}, r"\$exists takes true or false"),
        ({"$and": {"a": 1}}, r"\$and takes a list"),
        ({"a": float("inf")}, "JSON has no number"),
        ({3: 1}, "keys must be strings"),
        ({'a"b': 1}, "quotation mark"),
    ],
)
def test_what_cannot_be_read_is_named(condition: Any, text: str) -> None:
    with pytest.raises(SearchIndexError, match=text):
        parse_filter(condition)


def test_thousands_of_values_and_deep_conditions() -> None:
    """SQLite's limits on an expression are not the user's."""
    rows = RowTable.new()
    metadata = [{"n": i, "s": f"t{i}"} for i in range(50)] + [{"n": "7"}, {"s": 7}, {}]
    rows.add(0, list(range(53)), [""] * 53, [json.dumps(one) for one in metadata])
    many: dict[str, Any] = {"n": {"$in": [7, 7.0, "x", None, *range(100, 3000)]}}
    assert rows.matching(parse_filter(many)).tolist() == [7]
    assert rows.matching(parse_filter({"n": {"$nin": list(range(5000))}})).tolist() == [50, 51, 52]
    assert rows.matching(parse_filter({"$or": [{"s": f"t{i}"} for i in range(0, 4000, 5)]})).tolist() == list(
        range(0, 50, 5)
    )
    assert rows.matching(parse_filter({"$and": [{"n": {"$ne": i}} for i in range(2000)]})).tolist() == [50, 51, 52]
    deep: dict[str, Any] = {"n": 3}
    for _ in range(40):
        deep = {"$not": deep}
    assert rows.matching(parse_filter(deep)).tolist() == [3]
    with pytest.raises(SearchIndexError, match="at most 40 levels deep"):
        parse_filter({"$not": deep})
    with pytest.raises(SearchIndexError, match="at most 5,000 values; got 5,001"):
        parse_filter({"n": {"$in": list(range(5001))}})


def test_a_filter_has_a_limit_in_all() -> None:
    """For all its lists together, and for conditions without a list; a filter within the limit works."""
    rows = RowTable.new()
    rows.add(0, [0, 1], ["", ""], ['{"n": 1}', '{"k3": 1}'])
    halves = [{"n": {"$in": list(range(half, half + 4990))}} for half in (0, 4990)]
    assert rows.matching(parse_filter({"$and": halves})).tolist() == []
    assert rows.matching(parse_filter({"$or": [{f"k{n}": {"$gte": 1}} for n in range(3300)]})).tolist() == [1]
    assert rows.matching(parse_filter({f"k{n}": {"$exists": n == 3} for n in range(4999)})).tolist() == [1]
    for many in (
        {"$and": [*halves, *halves]},
        {"$or": [{"n": {"$gte": n}} for n in range(4000)]},
        {f"k{n}": {} for n in range(10_000)},
        {"$or": [{"$and": [{}] * 1000}] * 1000},
    ):
        with pytest.raises(SearchIndexError, match="at most 10,000 conditions and values in total; this one has more"):
            parse_filter(many)


def test_texts_end_at_no_character() -> None:
    r"""SQLite ends a text at NUL, so metadata must not contain it; after a backslash, u0000 is plain text."""
    with pytest.raises(SearchIndexError, match="metadata number 1 contains a NUL character"):
        as_json([{"a": "x"}, {"a": "x\0y"}], 2)
    with pytest.raises(SearchIndexError, match="NUL"):
        as_json([{"\0": 1}], 1)
    assert as_json([{"a": "x\\u0000y", "b": "\\"}], 1) == [r'{"a": "x\\u0000y", "b": "\\"}']
    with pytest.raises(SearchIndexError, match="metadata never contain a NUL character"):
        parse_filter({"a": "x\0y"})
