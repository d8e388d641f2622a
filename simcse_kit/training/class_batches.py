"""Rows of each step for labelled texts: a few texts of each of many classes."""

from __future__ import annotations

import heapq

import numpy as np
from numpy.typing import NDArray

from simcse_kit.training.sampling import Cut, EpochBatches


class ClassBatches(EpochBatches):
    """Batches of N labelled rows, in a new order each epoch. Every row is in exactly one batch.

    The rows of a class are split into groups of about ``per_class``, and its groups go to different batches as far as
    possible. A row whose class has other rows is never alone in its group, so it meets one of them. Batch sizes differ
    by at most one group; a batch holds about ``batch_size`` rows of each rank at most.

    Args:
        labels: (N,) class numbers of the rows.
        per_class: K, target size of a group: groups have 2 to K rows, or up to 3 if K is 2.
        batch_size, seed, rank, ranks: as in `EpochBatches`.
    """

    def __init__(
        self, labels: NDArray[np.int64], per_class: int, batch_size: int, seed: int, *, rank: int = 0, ranks: int = 1
    ) -> None:
        super().__init__(len(labels), batch_size, seed, rank=rank, ranks=ranks)
        self.labels = labels
        self.per_class = per_class
        self.cut = class_cut(len(labels), batch_size, ranks)

    def batches(self) -> list[NDArray[np.int64]]:
        """The batches of an epoch, for all ranks together."""
        rng = np.random.default_rng([self.seed, self.epoch])
        order = rng.permutation(self.rows)
        order = order[np.argsort(self.labels[order], kind="stable")]
        classes = np.split(order, np.flatnonzero(np.diff(self.labels[order])) + 1)
        parts: list[list[NDArray[np.int64]]] = [[] for _ in range(self.cut.steps)]
        emptiest = [(0, turn, batch) for turn, batch in enumerate(rng.permutation(self.cut.steps).tolist())]
        for number in rng.permutation(len(classes)).tolist():
            groups = _groups(classes[number], self.per_class)
            for start in range(0, len(groups), len(parts)):
                dealt = groups[start : start + len(parts)]
                chosen = [heapq.heappop(emptiest) for _ in dealt]
                for group, (rows, turn, batch) in zip(dealt, chosen, strict=True):
                    parts[batch].append(group)
                    heapq.heappush(emptiest, (rows + len(group), turn, batch))
        return [np.concatenate(part) for part in parts]


def class_cut(rows: int, batch_size: int, ranks: int = 1) -> Cut:
    """Like `cut`, but uses every row: batches get smaller instead.

    >>> class_cut(100, 32), class_cut(96, 32)
    (Cut(steps=4, left_out=0), Cut(steps=3, left_out=0))
    """
    return Cut(-(-rows // (batch_size * ranks)), 0)


def _groups(rows: NDArray[np.int64], per_class: int) -> list[NDArray[np.int64]]:
    """The rows of a class in equal groups, larger ones first; no group of one row if the class has two.

    >>> [[len(group) for group in _groups(np.arange(rows), 4)] for rows in (1, 4, 5, 9)]
    [[1], [4], [3, 2], [3, 3, 3]]
    """
    count = -(-len(rows) // per_class)
    if len(rows) < 2 * count:
        count = max(1, len(rows) // 2)
    return np.array_split(rows, count)
