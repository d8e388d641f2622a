"""Pooling ``max``: the largest value of each dimension."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simcse_kit.encoder.poolers import POOLERS, Pooler
from simcse_kit.parts.papers import REIMERS_2019

if TYPE_CHECKING:
    from torch import Tensor


def maximum(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """The largest value of each dimension over the kept tokens: (B, L, D), (B, L) -> (B, D)."""
    if mask is not None:
        hidden = hidden.masked_fill(mask.unsqueeze(-1) == 0, float("-inf"))
    return hidden.amax(dim=1)


POOLERS.register(
    Pooler(
        name="max",
        help="largest value of each dimension",
        source="Sentence-BERT (Reimers and Gurevych, 2019)",
        citation=REIMERS_2019,
        pool=maximum,
        st_mode="max",
        snippet='states[-1].masked_fill(mask == 0, float("-inf")).amax(1)',
        order=60,
    )
)
