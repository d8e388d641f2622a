"""How a teacher's similarities within the batch are learned (RankCSE, Liu et al., 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simcse_kit.parts import setting

if TYPE_CHECKING:
    from torch import Tensor

RANKINGS = ("listnet", "listmle")


@dataclass(frozen=True, kw_only=True)
class Guided:
    """Settings that the ranking term and distillation share."""

    teacher_weight: float = setting(
        1.0, "Weight of the loss that ranks as the teacher does.", at_least=0, needs="teacher"
    )
    teacher_temperature: float = setting(
        0.05,
        "Softmax temperature of the teacher's similarities; lower looks at the nearest only.",
        above=0,
        needs="teacher",
    )
    ranking: str = setting(
        "listnet", "Loss that learns the teacher's ranking: listnet or listmle.", choices=RANKINGS, needs="teacher"
    )

    def ranked(self, student: Tensor, teachers: Sequence[Tensor], temperature: float | Tensor) -> Tensor:
        """The student's similarities (B, B) in the order of the teachers', (B, V, D') each -> scalar."""
        from simcse_kit.losses import blend, list_mle, list_net
        from simcse_kit.losses.similarity import cosine_similarity

        sims = [cosine_similarity(vectors[:, 0], vectors[:, 1 if vectors.shape[1] > 1 else 0]) for vectors in teachers]
        teacher = sims[0] if len(sims) == 1 else blend(sims[0], sims[1], 0.5)
        if self.ranking == "listmle":
            return list_mle(student, teacher, temperature=temperature)
        return list_net(student, teacher, student_temperature=temperature, teacher_temperature=self.teacher_temperature)
