"""ESimCSE's momentum queue (Wu et al., 2022, 3.2): negatives from earlier batches, by a slow copy of the model."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

_MOMENTUM = 0.995  # the paper's


class MomentumQueue(nn.Module):
    """The last ``size`` vectors that the momentum model gave, first in, first out, and which texts they are.

    Its state (weights, vectors, texts and how many there are) is part of a checkpoint, so that a resumed run is the
    same.
    """

    vectors: Tensor
    texts: Tensor
    filled: Tensor

    def __init__(self, model: nn.Module, size: int, dimension: int) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval().requires_grad_(False)  # the paper: without dropout
        self.register_buffer("vectors", torch.zeros(size, dimension))
        self.register_buffer("texts", torch.zeros(size, dtype=torch.long))
        self.register_buffer("filled", torch.tensor(0))

    def train(self, mode: bool = True) -> MomentumQueue:
        """The momentum model stays without dropout."""
        return super().train(False)

    def negatives(self) -> tuple[Tensor | None, Tensor | None]:
        """The vectors in the queue (Q, D) and the numbers of their texts (Q,), None at first."""
        count = int(self.filled)
        return (self.vectors[:count].clone(), self.texts[:count].clone()) if count else (None, None)

    @torch.no_grad()
    def follow(self, model: nn.Module) -> None:
        """Move every weight towards the model's: m x own + (1 - m) x the model's."""
        for own, other in zip(self.model.parameters(), model.parameters(), strict=True):
            own.lerp_(other.detach().to(own.dtype), 1 - _MOMENTUM)

    @torch.no_grad()
    def push(self, vectors: Tensor, texts: Tensor) -> None:
        """The newest (B, D) with their texts (B,) in front, the oldest out."""
        size, count = len(self.vectors), int(self.filled)
        kept = torch.cat([vectors.to(self.vectors.dtype), self.vectors[:count]])[:size]
        self.vectors[: len(kept)] = kept
        self.texts[: len(kept)] = torch.cat([texts, self.texts[:count]])[:size]
        self.filled.fill_(len(kept))
