"""Common part of objectives on scored pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from simcse_kit.objectives._base import LossBatch, Objective

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class ScoredObjective(Objective):
    """Pairs of sentences with a gold score; learns their order."""

    modes: ClassVar[tuple[str, ...]] = ("sup",)
    scored: ClassVar[bool] = True

    def _ranked(self, batch: LossBatch, function: Callable[..., Any]) -> Tensor:
        assert batch.gold is not None
        loss: Tensor = function(batch.views[0], batch.views[1], batch.gold, scale=1 / batch.temperature)
        return loss
