"""Filters: what SQLite answers is what the definition says, and what cannot be read is named."""

from __future__ import annotations

import json
import operator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simcse_kit import SearchIndexError
from simcse_kit.search.filters import parse_filter
from simcse_kit.search.rows import Rows

OPERATORS = {"$eq": operator.eq, "$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}
VALUES = st.one_of(st.sampled_from([0, 1, -2, 2.5, True, False, None, "", "a", "b", "1", 'q"\\.'])) | st.integers(-3, 3)
KEYS = st.sampled_from(["a", "b", "a b", "ü", "c.d"])


def plain(condition: dict[str, Any], metadata: dict[str, Any] | None) -> bool:
    """The definition, written down once more."""

    def value_at(path: str) -> tuple[bool, Any]:
        value: Any = metadata
        for key in path.split("."):
            if not isinstance(value, dict) or key not in value:
                return False, None
            value = value[key]
        return True, value

    def compares(path: str, op: str, operand: Any) -> bool:
        there, value = value_at(path)
        if op == "$exists":
            return there == operand
        if op == "$ne":
            return not compares(path, "$eq", operand)
        if op in ("$in", "$nin"):
            return any(compares(path, "$eq", one) for one in operand) == (op == "$in")
        if not there or type(value) in (dict, list):
            return False
        if isinstance(value, bool) or isinstance(operand, bool) or value is None or operand is None:
            return op == "$eq" and value is operand
        if isinstance(value, str) != isinstance(operand, str):
            return False
        return bool(OPERATORS[op](value, operand))

    def one(key: str, value: Any) -> bool:
        if key == "$and":
            return all(plain(part, metadata) for part in value)
        if key == "$or":
            return any(plain(part, metadata) for part in value)
        if key == "$not":
            return not plain(value, metadata)
        if isinstance(value, dict):
            return all(compares(key, op, operand) for op, operand in value.items())
        return compares(key, "$eq", value)

    return all(one(key, value) for key, value in condition.items())


COMPARISONS = st.one_of(
    st.tuples(st.sampled_from(["$eq", "$ne"]), VALUES),
    st.tuples(st.sampled_from(["$gt", "$gte", "$lt", "$lte"]), st.one_of(st.integers(-3, 3), st.sampled_from("ab1"))),
    st.tuples(st.sampled_from(["$in", "$nin"]), st.lists(VALUES, max_size=3)),
    st.tuples(st.just("$exists"), st.booleans()),
).map(lambda pair: dict([pair]))
CONDITIONS = st.recursive(
    st.dictionaries(KEYS, st.one_of(VALUES, COMPARISONS), max_size=2),
    lambda inner: st.one_of(
        st.tuples(st.sampled_from(["$and", "$or"]), st.lists(inner, max_size=3)).map(lambda pair: dict([pair])),
        inner.map(lambda part: {"$not": part}),
    ),
    max_leaves=6,
)
METADATA = st.one_of(
    st.none(),
    st.dictionaries(
        st.sampled_from(["a", "b", "a b", "ü", "c"]),
        st.one_of(VALUES, st.just([1]), st.dictionaries(st.just("d"), VALUES, max_size=1)),
        max_size=4,
    ),
)


@settings(max_examples=300, deadline=None)
@given(condition=CONDITIONS, metadata=st.lists(METADATA, min_size=1, max_size=4))
def test_sqlite_answers_by_the_definition(condition: dict[str, Any], metadata: list[dict[str, Any] | None]) -> None:
    rows = Rows.new()
    texts = [None if one is None else json.dumps(one, ensure_ascii=False) for one in metadata]
    rows.add(0, [f"i{i}" for i in range(len(metadata))], [""] * len(metadata), texts)
    expected = [i for i, one in enumerate(metadata) if plain(condition, one)]
    assert rows.matching(parse_filter(condition)).tolist() == expected


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (["a"], "a filter is an object"),
        ({"$nor": []}, r"\$nor is no operator between conditions"),
        ({"a": {"$like": "x"}}, r"the filter on a has '\$like'; an operator is one of \$eq"),
        ({"a": {"b": 1}}, "an operator is one of"),
        ({"a": [1]}, r"the filter on a: \$eq compares with"),
        ({"a": {"$gt": True}}, r"\$gt compares with a text or a number; got True"),
        ({"a": {"$in": 3}}, r"\$in takes a list"),
        ({"a": {"$exists": 1}}, r"\$exists is true or false"),
        ({"$and": {"a": 1}}, r"\$and takes a list"),
        ({"a": float("inf")}, "is not a number that JSON has"),
        ({3: 1}, "keys are strings"),
        ({'a"b': 1}, "quotation mark"),
    ],
)
def test_what_cannot_be_read_is_named(condition: Any, text: str) -> None:
    with pytest.raises(SearchIndexError, match=text):
        parse_filter(condition)
