"""CoSENT (Su, 2022): ranks scored pairs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from simcse_kit.objectives._base import OBJECTIVES, LossBatch
from simcse_kit.objectives._scored import ScoredObjective

if TYPE_CHECKING:
    from torch import Tensor


_PAPER = """@misc{su-2022-cosent,
  title = {{CoSENT}: A Sentence Vector Scheme More Effective than Sentence-{BERT} (in Chinese)},
  author = {Su, Jianlin},
  year = {2022},
  url = {https://kexue.fm/archives/8847},
}"""


@OBJECTIVES.register
@dataclass(frozen=True, kw_only=True)
class CoSENT(ScoredObjective):
    """Among the pairs of a batch, a higher gold score must give a higher similarity."""

    name: ClassVar[str] = "cosent"
    help: ClassVar[str] = "scored pairs, ranked"
    source: ClassVar[str] = "Su, 2022"
    citation: ClassVar[str] = _PAPER
    order: ClassVar[int] = 4

    def loss(self, batch: LossBatch) -> Tensor:
        """Two views (B, D) and gold (B,) -> scalar."""
        from simcse_kit.losses import cosent

        return self._ranked(batch, cosent)
