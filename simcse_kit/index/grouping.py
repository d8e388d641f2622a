"""The best hit of each group, such as the best passage of each document."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from simcse_kit.errors import say_once
from simcse_kit.search.fields import value_at
from simcse_kit.search.rows import Hit

_FIRST = 20  # fewest hits of the first search
_MORE = 4  # factor by which each further search asks for more hits

SearchMany = Callable[[Sequence[int], int], list[list[Hit]]]
"""A search: (numbers of queries, k) to the k best hits of each of these queries."""


def best_of_groups(
    search: SearchMany, queries: int, k: int, field: str, rows: int, most: int | None = None
) -> list[list[Hit]]:
    """For each query, the best hit of each group of rows with equal values in a field: ``k`` hits of ``k`` groups.

    A row without a value is a group of its own. If the first hits have fewer groups, the search goes on until there are
    ``k`` groups or all rows are seen. If it can see only ``most`` rows and they have fewer groups, it gives a notice.

    Args:
        search: finds hits, best first.
        queries: number of queries.
        k: hits per query.
        field: name of a metadata field; a dot selects inside an object.
        rows: number of rows in the index.
        most: most hits that ``search`` can return; None: all rows.
    """
    end = max(1, rows if most is None else min(most, rows))
    answers: list[list[Hit]] = [[] for _ in range(queries)]
    pending, asked = list(range(queries)), max(_FIRST, _MORE * k)
    while pending:
        asked = min(asked, end)
        found = search(pending, asked)
        lacking = []
        for number, hits in zip(pending, found, strict=True):
            answers[number] = first_of_each(hits, field)[:k]
            if len(answers[number]) < k and len(hits) == asked < rows:
                lacking.append(number)
        if lacking and asked == end:
            say_once(
                f"for {len(lacking):,} of {queries:,} queries, the {end:,} nearest rows have fewer than {k:,} "
                f"values of {field}, and this index cannot return more rows"
            )
            break
        pending, asked = lacking, _MORE * asked
    return answers


def first_of_each(hits: Sequence[Hit], field: str) -> list[Hit]:
    """The first hit for each value of a field, in order; hits without a value stay.

    >>> hits = [Hit(1, "a", 0.9, {"d": "x"}), Hit(2, "b", 0.8, {"d": "x"}), Hit(3, "c", 0.7, {"d": "y"})]
    >>> [hit.id for hit in first_of_each([*hits, Hit(4, "d", 0.6), Hit(5, "e", 0.5)], "d")]
    [1, 3, 4, 5]
    """
    seen = set()
    kept = []
    for hit in hits:
        value = value_at(hit.metadata, field)
        key = _key(value)
        if value is None or key not in seen:
            kept.append(hit)
        seen.add(key)
    return kept


def _key(value: Any) -> tuple[str, Any]:
    """A key that is equal for equal values: 1 and 1.0 are equal; 1, true and "1" are different."""
    if isinstance(value, bool):
        return "boolean", value
    if isinstance(value, int | float):
        return "number", value
    return ("text", value) if isinstance(value, str) else ("json", json.dumps(value, sort_keys=True))
