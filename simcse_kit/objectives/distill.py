"""Distillation: a student learns a teacher's similarities within the batch and, if widths are equal, its vectors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from simcse_kit.objectives._base import OBJECTIVES, LossBatch, Objective
from simcse_kit.objectives._guided import Guided
from simcse_kit.parts.papers import LIU_2023

if TYPE_CHECKING:
    from torch import Tensor


@OBJECTIVES.register
@dataclass(frozen=True, kw_only=True)
class Distill(Guided, Objective):
    """One view of each sentence; its similarities to the batch must match the teacher's."""

    name: ClassVar[str] = "distill"
    help: ClassVar[str] = "a --teacher's similarities and vectors"
    source: ClassVar[str] = "Liu et al., 2023 (ranking); mean squared error of unit vectors"
    citation: ClassVar[str] = LIU_2023
    order: ClassVar[int] = 3
    modes: ClassVar[tuple[str, ...]] = ("unsup",)
    twins: ClassVar[bool] = False
    taught: ClassVar[bool] = True
    needs_teacher: ClassVar[bool] = True
    shapes_vectors: ClassVar[bool] = True

    def views(self, columns: int) -> tuple[int, ...]:
        """The sentence, once."""
        return (0,)

    def loss(self, batch: LossBatch) -> Tensor:
        """One view (B, D) and the teachers' vectors -> scalar."""
        import torch

        from simcse_kit.losses import embedding_distillation
        from simcse_kit.losses.similarity import cosine_similarity

        (vectors,) = batch.views
        student = cosine_similarity(vectors, vectors)
        loss = self.teacher_weight * self.ranked(student, batch.teachers, batch.temperature)
        same = [teacher[:, 0] for teacher in batch.teachers if teacher.shape[-1] == vectors.shape[-1]]
        if same:
            loss = loss + torch.stack([embedding_distillation(vectors, teacher) for teacher in same]).mean()
        return loss
