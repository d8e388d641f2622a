"""ESimCSE's momentum queue (Wu et al., 2022, 3.2): negatives from earlier batches, encoded by a slow copy."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

_MOMENTUM = 0.995  # the paper's


class MomentumQueue(nn.Module):
    """The last ``size`` vectors of the momentum model, first in, first out, and the numbers of their texts.

    Its state (weights, vectors, text numbers and count) is part of a checkpoint, so that a resumed run is the same.
    """

    vectors: Tensor
    texts: Tensor
    filled: Tensor

    def __init__(self, model: nn.Module, size: int, dimension: int) -> None:
        super().__init__()
        self.model = copy.deepcopy(model).eval().requires_grad_(False)  # the paper uses no dropout
        self.register_buffer("vectors", torch.zeros(size, dimension))
        self.register_buffer("texts", torch.zeros(size, dtype=torch.long))
        self.register_buffer("filled", torch.tensor(0))

    def train(self, mode: bool = True) -> MomentumQueue:
        """Keep dropout off in the momentum model."""
        return super().train(False)

    def negatives(self) -> tuple[Tensor | None, Tensor | None]:
        """The vectors in the queue (Q, D) and the numbers of their texts (Q,); empty at first."""
        count = int(self.filled)
        return (self.vectors[:count].clone(), self.texts[:count].clone()) if count else (None, None)

    @torch.no_grad()
    def follow(self, model: nn.Module) -> None:
        """Move every weight towards the model's: m x own + (1 - m) x the model's."""
        for own, other in zip(self.model.parameters(), model.parameters(), strict=True):
            own.lerp_(other.detach().to(own.dtype), 1 - _MOMENTUM)

    @torch.no_grad()
    def push(self, vectors: Tensor, texts: Tensor) -> None:
        """Put the newest (B, D) with their texts (B,) in front and drop the oldest."""
        size, count = len(self.vectors), int(self.filled)
        kept = torch.cat([vectors.to(self.vectors.dtype), self.vectors[:count]])[:size]
        self.vectors[: len(kept)] = kept
        self.texts[: len(kept)] = torch.cat([texts, self.texts[:count]])[:size]
        self.filled.fill_(len(kept))
