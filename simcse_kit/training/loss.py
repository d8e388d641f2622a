"""The loss of a batch: the objective's loss plus the terms of the run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from simcse_kit.losses import matryoshka
from simcse_kit.objectives import COLDEST, WARMEST, LossBatch
from simcse_kit.training.config import TrainConfig


class Queued(NamedTuple):
    """Negatives of earlier batches."""

    vectors: Tensor | None = None  # (Q, D)
    ids: Tensor | None = None  # (Q,): numbers of their texts


class BatchLoss(nn.Module):
    """Loss of a whole batch's vectors, from one process or gathered from all; owns a learned temperature."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.objective = config.objective
        self.terms = config.active
        self.widths = [width for term in self.terms for width in term.widths()]
        start = torch.tensor(-math.log(self.objective.temperature))
        self.log_scale = nn.Parameter(start) if self.objective.learn_temperature else None

    @property
    def temperature(self) -> float | Tensor:
        """The loss's temperature: set or learned."""
        return self.objective.temperature if self.log_scale is None else torch.exp(-self.log_scale)

    @torch.no_grad()
    def clamp(self) -> None:
        """Clamp a learned temperature to its bounds; called after each step."""
        if self.log_scale is not None:
            self.log_scale.clamp_(-math.log(WARMEST), -math.log(COLDEST))

    def forward(
        self,
        views: Sequence[Tensor],
        ids: Tensor | None = None,
        gold: Tensor | None = None,
        teachers: Sequence[Tensor] = (),
        queued: Queued = Queued(),  # noqa: B008 - it cannot be changed
        labels: Tensor | None = None,
    ) -> Tensor:
        """V views (B, D) to a scalar. Optional: ids (B, V), gold (B,), teachers' (B, V', D'), queued (Q, D), labels
        (B,).
        """
        known = LossBatch(views, self.temperature, ids, gold, teachers, labels=labels)

        def at_width(*cut: Tensor) -> Tensor:
            batch = known._replace(views=cut[: len(views)])
            return self._loss(batch, queued._replace(vectors=(*cut, None)[len(views)]))

        everything = [*views, *([] if queued.vectors is None else [queued.vectors])]
        if self.widths:
            return matryoshka(at_width, everything, sorted({views[0].shape[1], *self.widths}, reverse=True))
        return at_width(*everything)

    def _loss(self, batch: LossBatch, queued: Queued) -> Tensor:
        more = [queued.vectors, *(term.negatives(batch) for term in self.terms)]
        negatives = [vectors for vectors in more if vectors is not None]
        loss = self.objective.loss(
            batch._replace(negatives=torch.cat(negatives) if negatives else None, negative_ids=queued.ids)
        )
        for term in self.terms:
            added = term.loss(batch)
            if added is not None:
                loss = loss + added
        return loss
