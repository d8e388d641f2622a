"""SimCLR's NT-Xent (Chen et al., 2020) for sentences: two augmented views must find each other among all others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from simcse_kit.objectives._base import OBJECTIVES, LossBatch, Objective

if TYPE_CHECKING:
    from torch import Tensor


_PAPER = """@inproceedings{chen-etal-2020-simclr,
  title = {A Simple Framework for Contrastive Learning of Visual Representations},
  author = {Chen, Ting and Kornblith, Simon and Norouzi, Mohammad and Hinton, Geoffrey},
  booktitle = {Proceedings of ICML},
  year = {2020},
  url = {https://arxiv.org/abs/2002.05709},
}"""


@OBJECTIVES.register
@dataclass(frozen=True, kw_only=True)
class SimCLR(Objective):
    """Both views are augmented, and each of the 2B vectors is an anchor."""

    name: ClassVar[str] = "simclr"
    help: ClassVar[str] = "two augmented views, NT-Xent"
    source: ClassVar[str] = "Chen et al., 2020, equation 1"
    citation: ClassVar[str] = _PAPER
    order: ClassVar[int] = 2
    modes: ClassVar[tuple[str, ...]] = ("unsup",)
    augments: ClassVar[bool] = True
    needs_augmentation: ClassVar[bool] = True

    def augmented(self, view: int) -> bool:
        """Both views."""
        return True

    def negatives(self, batch: int, columns: int) -> int:
        """All other vectors of the batch except the twin."""
        return 2 * batch - 2

    def loss(self, batch: LossBatch) -> Tensor:
        """NT-Xent: two views (B, D) -> scalar."""
        from simcse_kit.losses import nt_xent

        ids = None if batch.ids is None else batch.ids[:, 0]
        return nt_xent(batch.views[0], batch.views[1], temperature=batch.temperature, ids=ids)
