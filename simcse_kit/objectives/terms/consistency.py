"""RankCSE's ranking consistency (Liu et al., 2023): both views put the batch into the same order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from simcse_kit.objectives._base import TERMS, LossBatch, Term
from simcse_kit.parts import setting
from simcse_kit.parts.papers import LIU_2023

if TYPE_CHECKING:
    from torch import Tensor


@TERMS.register
@dataclass(frozen=True, kw_only=True)
class Consistency(Term):
    """The Jensen-Shannon divergence between the views' similarities."""

    name: ClassVar[str] = "consistency"
    help: ClassVar[str] = "both views rank the batch alike"
    source: ClassVar[str] = "Liu et al., 2023, section 3.2"
    citation: ClassVar[str] = LIU_2023
    order: ClassVar[int] = 2
    contrastive_only: ClassVar[bool] = True

    consistency_weight: float = setting(0.0, "Weight of RankCSE's consistency loss; 0 leaves it out.", at_least=0)

    @property
    def active(self) -> bool:
        """With a weight."""
        return self.consistency_weight > 0

    def loss(self, batch: LossBatch) -> Tensor | None:
        """Two views (B, D) -> scalar."""
        from simcse_kit.losses import consistency

        return self.consistency_weight * consistency(batch.views[0], batch.views[1], temperature=batch.temperature)

    def notes(self) -> list[str]:
        """The weight."""
        return [f"consistency x {self.consistency_weight:g}"]
