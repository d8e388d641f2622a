"""Training rows as tokens, and batches of them in groups of similar length."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from simcse_kit.encoder.padding import Packing, pad
from simcse_kit.encoder.tokens import TokenTable, length_groups, of_one_length
from simcse_kit.training.sampling import Item
from simcse_kit.training.targets import Targets

GROUPS = {"cpu": 4}  # forward passes per step: many save padding, few use the processor better; elsewhere 1
_SMALLEST_GROUP = 8  # sentences

TokenIds = NDArray[np.int32]
Group = dict[str, Tensor]
Augment = Callable[[TokenIds, np.random.Generator], TokenIds]


class TrainingRows(Dataset[Item]):
    """N rows of V views each. A view is a column of the data, or a second copy of the sentences.

    An item is (epoch, number); `collate` turns a batch of items into tensors.

    Args:
        views: V token tables of N sentences.
        pad_id: pads shorter sentences.
        texts: (N, V) numbers of the texts, equal for equal texts.
        augment: per view, a change of a sentence's tokens, drawn again each epoch; None: no change.
        apart: groups hold sentences of a single view, and record which.
        seed: random seed of ``augment``.
        gold: (N,) scores of scored pairs.
        labels: (N,) class numbers of labelled texts.
        teachers: (N, V, D) vectors of the texts by each teacher.
        packs: add to a padded group how to pack it.
        pads: whether a group may hold sentences of different lengths, see `Encoder.pads`.
        groups: number of groups per batch, if no limit is set.
        mini_batch_size, mini_batch_tokens: limits of a group, in sentences or in tokens with padding.
    """

    def __init__(
        self,
        views: Sequence[TokenTable],
        pad_id: int,
        *,
        texts: NDArray[np.int64] | None = None,
        augment: Sequence[Augment | None] | None = None,
        apart: bool = False,
        seed: int = 0,
        gold: NDArray[np.float64] | None = None,
        labels: NDArray[np.int64] | None = None,
        teachers: Sequence[NDArray[np.float32] | Targets] = (),
        packs: bool = False,
        pads: bool = True,
        groups: int = GROUPS["cpu"],
        mini_batch_size: int | None = None,
        mini_batch_tokens: int | None = None,
    ) -> None:
        self.views = list(views)
        self.pad_id = pad_id
        self.texts = texts
        self.augment = augment or [None] * len(self.views)
        self.apart = apart
        self.seed = seed
        self.gold = gold
        self.labels = labels
        self.teachers = list(teachers)
        self.packs = packs
        self.pads = pads
        self.groups = groups
        self.mini_batch_size = mini_batch_size
        self.mini_batch_tokens = mini_batch_tokens

    def __len__(self) -> int:
        return len(self.views[0].lengths)

    def __getitem__(self, item: Item) -> Item:
        return item

    def collate(self, items: Sequence[Item]) -> dict[str, Any]:
        """A batch of B rows as its V x B sentences (view after view), in groups of similar length.

        ``groups``: per group ids (b, L) and, if padded, mask (b, L); ``places``: position of each grouped sentence
        among the V x B; ``views``: V; and if available ``ids`` (B, V), ``gold`` (B,), ``labels`` (B,) and ``teachers``,
        a list of (B, V, D).
        """
        numbers = [item.row for item in items]
        rows = [row for i in range(len(self.views)) for row in self._rows(i, items, numbers)]
        lengths = np.array([len(row) for row in rows])
        step = len(items) if self.apart else len(rows)
        parts = [start + part for start in range(0, len(rows), step) for part in self._groups(lengths[start:][:step])]
        groups: list[Group] = []
        for part in parts:
            ids, mask = pad([rows[i] for i in part], self.pad_id)
            group: Group = {"input_ids": ids} if mask is None else {"input_ids": ids, "attention_mask": mask}
            if mask is not None and self.packs:
                group |= Packing.of([len(rows[i]) for i in part])._asdict()
            groups.append(group | {"view": torch.tensor(part[0] // len(items))} if self.apart else group)
        batch = {"groups": groups, "places": torch.from_numpy(np.concatenate(parts)), "views": len(self.views)}
        if self.texts is not None:
            batch["ids"] = torch.from_numpy(self.texts[numbers])
        if self.gold is not None:
            batch["gold"] = torch.from_numpy(self.gold[numbers]).float()
        if self.labels is not None:
            batch["labels"] = torch.from_numpy(self.labels[numbers])
        if self.teachers:
            batch["teachers"] = [torch.from_numpy(vectors[numbers]) for vectors in self.teachers]
        return batch

    def _rows(self, view: int, items: Sequence[Item], numbers: list[int]) -> list[TokenIds]:
        rows, augment = self.views[view].rows(numbers), self.augment[view]
        if augment is None:
            return rows
        return [
            augment(row, np.random.default_rng([self.seed, item.epoch, item.row, view]))
            for row, item in zip(rows, items, strict=True)
        ]

    def _groups(self, lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Indices of each group; if padding is not allowed, all sentences of a group have equal length."""
        groups = self._sized_groups(lengths)
        return groups if self.pads else of_one_length(lengths, groups)

    def _sized_groups(self, lengths: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Groups for single passes, or as many as the limits of a mini-batch require."""
        if self.mini_batch_tokens is not None:
            return _token_groups(lengths, self.mini_batch_tokens)
        if self.mini_batch_size is not None:
            return length_groups(lengths, -(-len(lengths) // self.mini_batch_size))
        return length_groups(lengths, max(1, min(self.groups, len(lengths) // _SMALLEST_GROUP)))


def some_of(group: Group, kept: Tensor) -> Group:
    """The sentences of a group selected by ``kept`` (b,) bool, with unchanged padding."""
    per_sentence = ("input_ids", "attention_mask")
    rest = {name: tensor for name, tensor in group.items() if name not in (*per_sentence, *Packing._fields)}
    return rest | {name: group[name][kept] for name in per_sentence if name in group}


def _token_groups(lengths: NDArray[np.int64], tokens: int) -> list[NDArray[np.int64]]:
    """All indices by length, in groups of at most ``tokens`` tokens with padding; a longer sentence is alone."""
    order = np.argsort(lengths, kind="stable")
    groups: list[NDArray[np.int64]] = []
    start = 0
    for stop in range(1, len(order) + 1):
        if stop == len(order) or (stop + 1 - start) * lengths[order[stop]] > tokens:
            groups.append(order[start:stop])
            start = stop
    return groups
