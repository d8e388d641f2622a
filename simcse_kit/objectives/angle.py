"""AnglE (Li and Li, 2023): ranks scored pairs by angles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from simcse_kit.objectives._base import OBJECTIVES, LossBatch
from simcse_kit.objectives._scored import ScoredObjective

if TYPE_CHECKING:
    from torch import Tensor


_PAPER = """@misc{li-li-2023-angle,
  title = {{AnglE}-optimized Text Embeddings},
  author = {Li, Xianming and Li, Jing},
  year = {2023},
  url = {https://arxiv.org/abs/2309.12871},
}"""


@OBJECTIVES.register
@dataclass(frozen=True, kw_only=True)
class AnglE(ScoredObjective):
    """Among the pairs of a batch, a higher gold score must give a higher similarity."""

    name: ClassVar[str] = "angle"
    help: ClassVar[str] = "scored pairs, ranked by angles"
    source: ClassVar[str] = "Li and Li, 2023"
    citation: ClassVar[str] = _PAPER
    order: ClassVar[int] = 5

    def loss(self, batch: LossBatch) -> Tensor:
        """Two views (B, D) and gold (B,) -> scalar."""
        from simcse_kit.losses import angle

        return self._ranked(batch, angle)
