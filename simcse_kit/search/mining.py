"""Duplicates of a corpus: pairs of rows with nearly the same meaning, and groups of such rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.bars import tqdm
from simcse_kit.search.base import BaseCollection
from simcse_kit.search.checks import check_threshold, checked_count
from simcse_kit.search.groups import Groups, groups_of
from simcse_kit.search.rows import IndexRow
from simcse_kit.tabular import Tabular
from simcse_kit.wording import counted

_BATCH = 1024  # rows per search


class MinedPair(NamedTuple):
    """Two rows and their cosine. ``group`` numbers the sets of rows connected by pairs, largest first."""

    score: float
    first: IndexRow
    second: IndexRow
    group: int


@dataclass(frozen=True, repr=False)
class Mined(Tabular):
    """Pairs of rows, best first: iterate over them, or over their groups (`by_group`).

    `to_dataframe` has one row per pair.
    """

    _columns = ("score", "group", "first_id", "first_text", "second_id", "second_text")

    collection: BaseCollection
    scores: NDArray[np.float32]  # (P,)
    rows: NDArray[np.int64]  # (P, 2): row numbers, the earlier row first
    groups: NDArray[np.int64]  # (P,)
    full: int  # rows whose whole neighbor list is above the threshold: they may have more

    def __iter__(self) -> Iterator[MinedPair]:
        for at in range(0, len(self.scores), _BATCH):
            pairs = self.rows[at : at + _BATCH]
            fetched = self.collection.fetch(np.unique(pairs).tolist())
            for score, (first, second), group in zip(
                self.scores[at : at + _BATCH], pairs.tolist(), self.groups[at : at + _BATCH], strict=True
            ):
                yield MinedPair(float(score), fetched[first], fetched[second], int(group))

    def __len__(self) -> int:
        return len(self.scores)

    def __repr__(self) -> str:
        groups = int(self.groups.max()) + 1 if len(self.groups) else 0
        return f"Mined({counted(len(self), 'pair')} in {counted(groups, 'group')})"

    def by_group(self) -> Groups:
        """Groups of rows connected by pairs, largest first, each with a representative and all members."""
        return groups_of(self.collection, self.rows, self.groups)

    def _records(self) -> Iterator[dict[str, Any]]:
        for pair in self:
            values = (pair.score, pair.group, *pair.first[:2], *pair.second[:2])
            yield dict(zip(self._columns, values, strict=True))


def mine(
    collection: BaseCollection, threshold: float = 0.9, neighbors: int = 50, *, show_progress_bar: bool = False
) -> Mined:
    """All pairs of rows with a cosine of at least ``threshold``, among the nearest neighbors of each row.

    Like sentence-transformers' ``paraphrase_mining``, on an index, which finds neighbors with its recall.

    Raises:
        SearchIndexError: a threshold that is not a cosine, or ``neighbors`` below 1.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    check_threshold(threshold)
    neighbors = checked_count(neighbors, "neighbors")
    collection = collection.now()  # rows are read again later, by number
    found: list[tuple[NDArray[np.float32], NDArray[np.int64]]] = []
    full = 0
    with tqdm(total=len(collection), desc="Mining", unit="row", disable=not show_progress_bar) as progress:
        for numbers, near in collection.neighbors(neighbors, _BATCH):
            good = (near.rows >= 0) & (near.scores >= threshold)
            full += int((good.sum(1) == neighbors).sum()) if neighbors < len(collection) - 1 else 0
            pairs = np.stack([np.broadcast_to(numbers[:, None], near.rows.shape)[good], near.rows[good]], axis=1)
            found.append((near.scores[good], np.sort(pairs, axis=1)))
            progress.update(len(numbers))
    scores = np.concatenate([one for one, _ in found]) if found else np.zeros(0, np.float32)
    rows = np.concatenate([one for _, one in found]) if found else np.zeros((0, 2), np.int64)
    rows, places = np.unique(rows, axis=0, return_index=True)
    order = np.lexsort((rows[:, 1], rows[:, 0], -scores[places]))
    rows, scores = rows[order], scores[places][order]
    names, ends = np.unique(rows, return_inverse=True)
    ends = ends.reshape(rows.shape)
    graph = coo_array((np.ones(len(rows)), (ends[:, 0], ends[:, 1])), shape=(len(names), len(names)))
    label = connected_components(graph, directed=False)[1] if len(names) else np.zeros(0, np.int64)
    by_size = np.argsort(np.argsort(-np.bincount(label), kind="stable")) if len(label) else label
    groups = by_size[label[ends[:, 0]]].astype(np.int64) if len(rows) else np.zeros(0, np.int64)
    return Mined(collection, scores, rows, groups, full)
