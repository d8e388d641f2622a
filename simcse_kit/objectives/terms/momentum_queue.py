"""ESimCSE's momentum queue (Wu et al., 2022): earlier positives, by a slow copy of the encoder, are negatives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from simcse_kit.objectives._base import TERMS, Term
from simcse_kit.parts import setting
from simcse_kit.parts.papers import WU_2022


@TERMS.register
@dataclass(frozen=True, kw_only=True)
class MomentumQueueTerm(Term):
    """Its module, which holds the slow copy and the queue, is `simcse_kit.training.queue`."""

    name: ClassVar[str] = "momentum_queue"
    help: ClassVar[str] = "negatives of earlier batches, by a momentum encoder"
    source: ClassVar[str] = "Wu et al., 2022, section 3.2"
    citation: ClassVar[str] = WU_2022
    order: ClassVar[int] = 3
    contrastive_only: ClassVar[bool] = True
    not_sharded: ClassVar[str] = "its model follows whole weights, which no process holds"

    momentum_queue: float = setting(
        0.0,
        "Negatives from earlier batches, by a momentum encoder, in batches (ESimCSE, which uses 2.5); 0 leaves them "
        "out.",
        at_least=0,
    )

    @property
    def active(self) -> bool:
        """With room for negatives."""
        return self.momentum_queue > 0

    def batches(self) -> float:
        """The queue's length, in batches."""
        return self.momentum_queue

    def notes(self) -> list[str]:
        """The queue's length."""
        return [f"momentum queue of {self.momentum_queue:g} batches"]
