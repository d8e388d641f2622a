"""RankCSE's ranking distillation (Liu et al., 2023): the views' similarities must have a teacher's order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from simcse_kit.objectives._base import TERMS, LossBatch, Objective, Term
from simcse_kit.objectives._guided import Guided
from simcse_kit.parts.papers import LIU_2023

if TYPE_CHECKING:
    from torch import Tensor


@TERMS.register
@dataclass(frozen=True, kw_only=True)
class Ranking(Guided, Term):
    """Used if a run has a teacher."""

    name: ClassVar[str] = "ranking"
    help: ClassVar[str] = "the order of a --teacher's similarities within the batch"
    source: ClassVar[str] = "Liu et al., 2023, section 3.3"
    citation: ClassVar[str] = LIU_2023
    order: ClassVar[int] = 1
    contrastive_only: ClassVar[bool] = True
    needs_teacher: ClassVar[bool] = True

    @property
    def active(self) -> bool:
        """Always; without a teacher it is not used."""
        return True

    def combines(self, objective: type[Objective]) -> bool:
        """With objectives that accept a teacher and do not learn only from it."""
        return objective.contrastive and objective.taught

    def loss(self, batch: LossBatch) -> Tensor | None:
        """Two views (B, D) and the teachers' vectors -> scalar."""
        from simcse_kit.losses.similarity import cosine_similarity

        student = cosine_similarity(batch.views[0], batch.views[1])
        return self.teacher_weight * self.ranked(student, batch.teachers, batch.temperature)
