"""Training rows as tokens, and batches of them in length groups."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset, Sampler

from simcse_kit.tokens import TokenTable, length_groups, pad

_GROUPS = 4  # forward passes a step: more save padding, fewer fill the processor better
_SMALLEST_GROUP = 8  # sentences

Group = dict[str, Tensor]


class TrainingRows(Dataset[int]):
    """N rows of V views each; a view is a column of the data, or the same sentences again.

    An item is its number; `collate` makes a batch of numbers into tensors.
    """

    def __init__(self, views: Sequence[TokenTable], pad_id: int) -> None:
        self.views = list(views)
        self.pad_id = pad_id

    def __len__(self) -> int:
        return len(self.views[0].lengths)

    def __getitem__(self, index: int) -> int:
        return index

    def collate(self, indices: Sequence[int]) -> dict[str, Any]:
        """A batch of B rows as its V x B sentences (view after view), in groups of similar length.

        ``groups``: ids (b, L) and, where padded, mask (b, L) each; ``places``: where each sentence of the groups, one
        after the other, belongs among the V x B; ``views``: V.
        """
        rows = [row for view in self.views for row in view.rows(indices)]
        lengths = np.array([len(row) for row in rows])
        parts = length_groups(lengths, max(1, min(_GROUPS, len(rows) // _SMALLEST_GROUP)))
        groups: list[Group] = []
        for part in parts:
            ids, mask = pad([rows[i] for i in part], self.pad_id)
            groups.append({"input_ids": ids} if mask is None else {"input_ids": ids, "attention_mask": mask})
        return {"groups": groups, "places": torch.from_numpy(np.concatenate(parts)), "views": len(self.views)}


class EpochSampler(Sampler[int]):
    """A new order of N rows each epoch, from the seed and the epoch's number alone: a resumed run sees the same."""

    def __init__(self, count: int, seed: int) -> None:
        self.count = count
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of epoch ``epoch``; the trainer calls it."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[int]:
        generator = np.random.default_rng([self.seed, self.epoch])
        return iter(generator.permutation(self.count).tolist())
