"""Rows of each step: an order that depends on seed and epoch only, cut into batches and split between ranks."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

_TRIES = 64  # batches that a row may skip before it joins one that already holds its text


class Item(NamedTuple):
    """A row in an epoch. Random draws for it depend on row, epoch and seed, not on batch, rank or resumption."""

    epoch: int
    row: int


class Cut(NamedTuple):
    """Number and size of an epoch's steps."""

    steps: int
    left_out: int  # rows at the end of an epoch's order that fill no batch


def cut(rows: int, batch_size: int, ranks: int = 1) -> Cut:
    """Steps of ``batch_size`` rows on each of ``ranks``. A shorter last step counts if every rank gets at least two of
    its rows: a single row has no negatives.
    """
    steps, rest = divmod(rows, batch_size * ranks)
    return Cut(steps + 1, 0) if rest >= max(2, ranks) else Cut(steps, rest)


class EpochBatches(Sampler[list[Item]]):
    """Batches of N rows, in a new order each epoch; rank r of R gets the r-th part of each batch.

    Together, the ranks' parts form the batch of one process with R times the batch size.

    Args:
        rows: number of rows, N.
        batch_size: rows in one rank's part.
        seed: random seed of the order.
        rank, ranks: number of this part, and of all parts.
        texts: (N, V) numbers of the rows' texts; if given, rows that share a text go into different batches as far as
            possible.
    """

    def __init__(
        self,
        rows: int,
        batch_size: int,
        seed: int,
        *,
        rank: int = 0,
        ranks: int = 1,
        texts: NDArray[np.int64] | None = None,
    ) -> None:
        self.rows = rows
        self.size = batch_size * ranks
        self.seed = seed
        self.rank, self.ranks = rank, ranks
        self.texts = texts
        self.cut = cut(rows, batch_size, ranks)
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which determines the order; the trainer calls this."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.cut.steps

    def __iter__(self) -> Iterator[list[Item]]:
        for batch in self.batches():
            part = np.array_split(batch, self.ranks)[self.rank]
            yield [Item(self.epoch, row) for row in part.tolist()]

    def batches(self) -> list[NDArray[np.int64]]:
        """The batches of an epoch, for all ranks together."""
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.rows)[: self.rows - self.cut.left_out]
        if self.texts is None:
            return [order[start : start + self.size] for start in range(0, len(order), self.size)]
        return _apart(order, self.texts, self.size)


def _apart(order: NDArray[np.int64], texts: NDArray[np.int64], size: int) -> list[NDArray[np.int64]]:
    """Rows in order; each goes into the first batch with room that has none of its texts."""
    room = [size] * (len(order) // size) + ([len(order) % size] if len(order) % size else [])
    held: list[set[int]] = [set() for _ in room]
    batches: list[list[int]] = [[] for _ in room]
    first = 0  # all earlier batches are full
    for row in order.tolist():
        while len(batches[first]) == room[first]:
            first += 1
        own = set(texts[row].tolist())
        near = range(first, min(first + _TRIES, len(room)))
        free = (i for i in near if len(batches[i]) < room[i] and held[i].isdisjoint(own))
        chosen = next(free, first)
        batches[chosen].append(row)
        held[chosen] |= own
    return [np.array(batch, dtype=np.int64) for batch in batches]


def numbered(columns: list[list[str]]) -> NDArray[np.int64]:
    """Texts as numbers, equal for equal texts, over all columns: (N, V)."""
    number: dict[str, int] = {}
    for text in itertools.chain.from_iterable(columns):
        number.setdefault(text, len(number))
    return np.array([[number[text] for text in column] for column in columns], dtype=np.int64).T
