"""A second implementation of filters by their definition, and strategies for random ones and their data."""

from __future__ import annotations

import operator
from typing import Any

from hypothesis import strategies as st

OPERATORS = {"$eq": operator.eq, "$gt": operator.gt, "$gte": operator.ge, "$lt": operator.lt, "$lte": operator.le}
VALUES = st.one_of(st.sampled_from([0, 1, -2, 2.5, True, False, None, "", "a", "b", "1", 'q"\\.'])) | st.integers(-3, 3)
KEYS = st.sampled_from(["a", "b", "a b", "ü", "c.d"])


def plain(condition: dict[str, Any], metadata: dict[str, Any] | None) -> bool:
    """The definition, implemented a second time."""

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
