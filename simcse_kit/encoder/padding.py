"""Batches of token ids as tensors: padded, without the tokens of a prompt, or without padding."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from simcse_kit.encoder.tokens import padded


def pad(rows: Sequence[NDArray[np.int32]], pad_id: int) -> tuple[Tensor, Tensor | None]:
    """`padded` ids (B, L) and their mask (B, L), or None without padding, as tensors."""
    ids, mask = padded(rows, pad_id)
    return torch.from_numpy(ids), None if mask is None else torch.from_numpy(mask)


def without_prompt(ids: Tensor, mask: Tensor | None, prompt_length: int) -> Tensor:
    """The pooling mask (B, L): all tokens but that many at the start.

    >>> without_prompt(torch.tensor([[7, 8, 9, 5]]), None, 2).tolist()
    [[0, 0, 1, 1]]
    """
    pooled = torch.ones_like(ids) if mask is None else mask.clone()
    pooled[:, :prompt_length] = 0
    return pooled


class Packing(NamedTuple):
    """Positions of the T tokens of B padded sentences, for a forward pass without padding."""

    places: Tensor  # (T,) int64, among the B x L
    starts: Tensor  # (B + 1,) int32: start of each sentence among the T tokens, and T

    @classmethod
    def of(cls, lengths: Sequence[int]) -> Packing:
        """The packing of sentences from their tokens, padded on the right to the longest.

        >>> Packing.of([1, 3]).places.tolist(), Packing.of([1, 3]).starts.tolist()
        ([0, 3, 4, 5], [0, 1, 4])
        """
        kept = np.arange(max(lengths)) < np.asarray(lengths)[:, None]  # (B, L)
        starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
        return cls(torch.from_numpy(np.flatnonzero(kept)), torch.from_numpy(starts))
