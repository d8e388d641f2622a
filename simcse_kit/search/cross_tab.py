"""Counts of clusters by values of a field."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simcse_kit.errors import SearchIndexError
from simcse_kit.search.fields import value_at
from simcse_kit.search.rows import IndexRow
from simcse_kit.tabular import Tabular
from simcse_kit.wording import counted

_MOST = 1_000  # maximum number of values of a field


@dataclass(frozen=True, repr=False)
class CrossTab(Tabular):
    """Row counts by cluster (K) and value (V) of a field; `to_dataframe` has one row per cluster."""

    field: str
    values: list[str]  # (V,), most frequent first; values that are not text are JSON
    counts: NDArray[np.int64]  # (K, V)
    without: NDArray[np.int64]  # (K,): rows without the field

    def __repr__(self) -> str:
        clusters, values = self.counts.shape
        return f"CrossTab({counted(clusters, 'cluster')}, {counted(values, 'value')} of {self.field!r})"

    def _records(self) -> Iterator[dict[str, Any]]:
        names = ["cluster", *self.values, f"without {self.field}"]
        for label in range(len(self.counts)):
            yield dict(zip(names, [label, *self.counts[label].tolist(), int(self.without[label])], strict=True))


def cross_tab(rows: Iterable[tuple[IndexRow, int]], clusters: int, field: str) -> CrossTab:
    """Count rows by cluster and value of a field; a dot in the field's name selects inside an object.

    Raises:
        SearchIndexError: a field with more than 1,000 values.
    """
    met: Counter[tuple[str, int]] = Counter()
    totals: Counter[str] = Counter()
    without = np.zeros(clusters, np.int64)
    for row, label in rows:
        value = value_at(row.metadata, field)
        if value is None:
            without[label] += 1
            continue
        name = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
        met[name, label] += 1
        totals[name] += 1
        if len(totals) > _MOST:
            raise SearchIndexError(
                f"{field!r} has more than {_MOST:,} values; choose a field with fewer values for a cross table"
            )
    values = sorted(totals, key=lambda name: (-totals[name], name))
    counts = np.array([[met[name, label] for name in values] for label in range(clusters)], np.int64)
    return CrossTab(field, values, counts.reshape(clusters, len(values)), without)
