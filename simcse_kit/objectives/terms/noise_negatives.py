"""DCLR's noise negatives (Zhou et al., 2022): vectors from where the batch has left the space empty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from simcse_kit.objectives._base import TERMS, LossBatch, Term
from simcse_kit.parts import setting

if TYPE_CHECKING:
    from torch import Tensor


_PAPER = """@inproceedings{zhou-etal-2022-dclr,
  title = {Debiased Contrastive Learning of Unsupervised Sentence Representations},
  author = {Zhou, Kun and Zhang, Beichen and Zhao, Wayne Xin and Wen, Ji-Rong},
  booktitle = {Proceedings of ACL},
  year = {2022},
  url = {https://aclanthology.org/2022.acl-long.423},
}"""


@TERMS.register
@dataclass(frozen=True, kw_only=True)
class NoiseNegatives(Term):
    """Noise that climbs towards where it disturbs the batch most."""

    name: ClassVar[str] = "noise_negatives"
    help: ClassVar[str] = "noise vectors as negatives"
    source: ClassVar[str] = "Zhou et al., 2022, section 4.1"
    citation: ClassVar[str] = _PAPER
    order: ClassVar[int] = 4
    contrastive_only: ClassVar[bool] = True

    noise_negatives: float = setting(
        0.0, "Noise vectors as negatives, in batches, such as 1 (DCLR); 0 leaves them out.", at_least=0
    )

    @property
    def active(self) -> bool:
        """With room for negatives."""
        return self.noise_negatives > 0

    def batches(self) -> float:
        """How many negatives, in batches."""
        return self.noise_negatives

    def negatives(self, batch: LossBatch) -> Tensor | None:
        """Noise from two views (B, D): (K, D), without a gradient."""
        import torch

        from simcse_kit.losses import noise_negatives

        count = max(1, round(self.noise_negatives * len(batch.views[0])))
        temperature = float(torch.as_tensor(batch.temperature).detach())
        first, second = batch.views[0].detach(), batch.views[1].detach()
        return noise_negatives(first, second, count, temperature=temperature)

    def notes(self) -> list[str]:
        """How many."""
        return [f"noise negatives of {self.noise_negatives:g} batches"]
