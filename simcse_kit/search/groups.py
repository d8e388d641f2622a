"""Groups of rows with nearly the same meaning, each with a representative."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.search.base import BaseCollection
from simcse_kit.search.rows import IndexRow
from simcse_kit.tabular import Tabular
from simcse_kit.types import Vectors
from simcse_kit.wording import counted

_BATCH = 1024  # rows read at a time; a larger group is read whole
_EQUAL = 1e-6  # mean cosines that differ by less count as equal


class SimilarGroup(NamedTuple):
    """Rows that are connected by pairs, directly or through other rows."""

    number: int  # 0 is the largest group
    representative: IndexRow  # the most central row: highest mean cosine with all; ties: the first
    members: list[IndexRow]  # all rows, in the order of adding

    @property
    def size(self) -> int:
        """Number of rows."""
        return len(self.members)


@dataclass(frozen=True, repr=False)
class Groups(Tabular):
    """All groups, largest first: iterate over them. Memory holds the texts of about a thousand rows, or of one group.

    G groups with M rows in total. `to_dataframe` has one row per member.
    """

    _columns = ("group", "size", "representative", "id", "text")

    collection: BaseCollection
    numbers: NDArray[np.int64]  # (M,): row numbers, group by group
    offsets: NDArray[np.int64]  # (G + 1,): start of each group in ``numbers``

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def __repr__(self) -> str:
        return f"Groups({counted(len(self), 'group')} of {counted(len(self.numbers), 'sentence')})"

    def __iter__(self) -> Iterator[SimilarGroup]:
        first = 0
        while first < len(self):
            fits = int(np.searchsorted(self.offsets, self.offsets[first] + _BATCH, side="right")) - 1
            last = max(first + 1, fits)
            numbers = self.numbers[self.offsets[first] : self.offsets[last]]
            rows = self.collection.fetch(numbers.tolist())
            cosines = self._mean_cosines(first, last)
            for group in range(first, last):
                own = slice(*(self.offsets[group : group + 2] - self.offsets[first]))
                members = [rows[number] for number in numbers[own].tolist()]
                central = int(np.flatnonzero(cosines[own] >= cosines[own].max() - _EQUAL)[0])
                yield SimilarGroup(group, members[central], members)
            first = last

    def _mean_cosines(self, first: int, last: int) -> Vectors:
        """For each row of some groups, the sum of its cosines with all rows of its group: its cosine with their sum."""
        sizes = np.diff(self.offsets[first : last + 1])
        group_of = np.repeat(np.arange(last - first), sizes)
        sums = np.zeros((last - first, self.collection.dimension), np.float32)
        cosines = np.empty(len(group_of), np.float32)
        for part, vectors in self._blocks(first, last):
            np.add.at(sums, group_of[part], vectors)
        for part, vectors in self._blocks(first, last):
            cosines[part] = (vectors * sums[group_of[part]]).sum(1) / sizes[group_of[part]]
        return cosines

    def _blocks(self, first: int, last: int) -> Iterator[tuple[slice, Vectors]]:
        numbers = self.numbers[self.offsets[first] : self.offsets[last]]
        for at in range(0, len(numbers), _BATCH):
            part = slice(at, min(at + _BATCH, len(numbers)))
            yield part, self.collection.vectors_at(numbers[part].tolist())

    def _records(self) -> Iterator[dict[str, Any]]:
        for group in self:
            for row in group.members:
                central = row.id == group.representative.id
                values = (group.number, group.size, central, row.id, row.text)
                yield dict(zip(self._columns, values, strict=True))


def groups_of(collection: BaseCollection, rows: NDArray[np.int64], groups: NDArray[np.int64]) -> Groups:
    """Groups of P pairs of rows (P, 2) with group numbers (P,)."""
    numbers, at = np.unique(rows, return_index=True)
    group_of = groups[at // 2]
    order = np.argsort(group_of, kind="stable")
    sizes = np.bincount(group_of) if len(group_of) else np.zeros(0, np.int64)
    return Groups(collection, numbers[order], np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64))
