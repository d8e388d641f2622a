"""The loss of a batch, put together from the parts that a run asks for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor, nn

from simcse_kit.losses import (
    angle,
    blend,
    consistency,
    cosent,
    embedding_distillation,
    info_nce,
    list_mle,
    list_net,
    matryoshka,
    noise_negatives,
    nt_xent,
)
from simcse_kit.losses.similarity import cosine_similarity
from simcse_kit.training.config import COLDEST, SCORED, WARMEST, TrainConfig


class BatchLoss(nn.Module):
    """A function of a whole batch's vectors, of one process or gathered from all; it holds a learned temperature."""

    def __init__(self, config: TrainConfig) -> None:
        super().__init__()
        self.config = config
        self.log_scale = nn.Parameter(torch.tensor(-math.log(config.temperature))) if config.learn_temperature else None

    @property
    def temperature(self) -> float | Tensor:
        """The loss's temperature: as set, or learned."""
        return self.config.temperature if self.log_scale is None else torch.exp(-self.log_scale)

    @torch.no_grad()
    def clamp(self) -> None:
        """Put a learned temperature back into its bounds, as after a step."""
        if self.log_scale is not None:
            self.log_scale.clamp_(-math.log(WARMEST), -math.log(COLDEST))

    def forward(
        self,
        views: Sequence[Tensor],
        ids: Tensor | None = None,
        gold: Tensor | None = None,
        teachers: Sequence[Tensor] = (),
        queue: Tensor | None = None,
        queue_ids: Tensor | None = None,
    ) -> Tensor:
        """V views (B, D) to a scalar; where there are: ids (B, V), gold (B,), teachers' (B, V, D), queue (Q, D).

        ``queue_ids`` (Q,) says which texts are in the queue.
        """
        everything = [*views, *([] if queue is None else [queue])]
        if self.config.matryoshka_dims:
            return matryoshka(
                lambda *cut: self._loss(
                    cut[: len(views)], ids, gold, teachers, None if queue is None else cut[-1], queue_ids
                ),
                everything,
                sorted({views[0].shape[1], *self.config.matryoshka_dims}, reverse=True),
            )
        return self._loss(views, ids, gold, teachers, queue, queue_ids)

    def _loss(
        self,
        views: Sequence[Tensor],
        ids: Tensor | None,
        gold: Tensor | None,
        teachers: Sequence[Tensor],
        queue: Tensor | None,
        queue_ids: Tensor | None,
    ) -> Tensor:
        objective = self.config.objective
        if objective in SCORED:
            assert gold is not None
            return (cosent if objective == "cosent" else angle)(views[0], views[1], gold, scale=1 / self.temperature)
        if objective == "simclr":
            return nt_xent(views[0], views[1], temperature=self.temperature, ids=None if ids is None else ids[:, 0])
        if objective == "distill":
            return self._distill(views[0], teachers)
        return self._contrast(views, ids, queue, queue_ids) + self._guidance(views, teachers)

    def _contrast(
        self, views: Sequence[Tensor], ids: Tensor | None, queue: Tensor | None, queue_ids: Tensor | None
    ) -> Tensor:
        config = self.config
        loss = partial(
            info_nce,
            *views,
            temperature=self.temperature,
            hard_negative_weight=config.hard_negative_weight,
            angular_margin=config.angular_margin,
            hardness_mode=config.hardness_mode,
            hardness_strength=config.hardness_strength if config.hardness_mode else 0.0,
            bidirectional=config.bidirectional,
            ids=ids,
            false_negative_margin=config.false_negative_margin,
        )
        extra = [] if queue is None else [queue]
        if config.noise_negatives:
            count = max(1, round(config.noise_negatives * len(views[0])))
            temperature = float(torch.as_tensor(self.temperature).detach())
            first, second = views[0].detach(), views[1].detach()
            extra.append(noise_negatives(first, second, count, temperature=temperature))
        return loss(extra_negatives=torch.cat(extra) if extra else None, extra_ids=queue_ids)

    def _guidance(self, views: Sequence[Tensor], teachers: Sequence[Tensor]) -> Tensor:
        """RankCSE's terms (Liu et al., 2023): consistency between the views, and the teachers' ranking of the batch."""
        config = self.config
        loss = views[0].new_zeros(())
        if config.consistency_weight:
            loss = loss + config.consistency_weight * consistency(views[0], views[1], temperature=self.temperature)
        if teachers:
            loss = loss + config.teacher_weight * self._ranking(cosine_similarity(views[0], views[1]), teachers)
        return loss

    def _ranking(self, student: Tensor, teachers: Sequence[Tensor]) -> Tensor:
        sims = [cosine_similarity(vectors[:, 0], vectors[:, 1 if vectors.shape[1] > 1 else 0]) for vectors in teachers]
        teacher = sims[0] if len(sims) == 1 else blend(sims[0], sims[1], 0.5)
        if self.config.ranking == "listmle":
            return list_mle(student, teacher, temperature=self.temperature)
        return list_net(
            student,
            teacher,
            student_temperature=self.temperature,
            teacher_temperature=self.config.teacher_temperature,
        )

    def _distill(self, vectors: Tensor, teachers: Sequence[Tensor]) -> Tensor:
        """The teacher's similarities within the batch and, where it is as wide, its vectors."""
        loss = self.config.teacher_weight * self._ranking(cosine_similarity(vectors, vectors), teachers)
        same = [teacher[:, 0] for teacher in teachers if teacher.shape[-1] == vectors.shape[-1]]
        if same:
            loss = loss + torch.stack([embedding_distillation(vectors, teacher) for teacher in same]).mean()
        return loss
