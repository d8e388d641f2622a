"""Pooling ``mean``: the average of the tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simcse_kit.encoder.poolers import POOLERS, Pooler
from simcse_kit.parts.papers import REIMERS_2019

if TYPE_CHECKING:
    from torch import Tensor


def mean(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Average the kept tokens: (B, L, D), (B, L) -> (B, D)."""
    if mask is None:
        return hidden.mean(dim=1)
    weight = mask.unsqueeze(-1).to(hidden.dtype)  # (B, L, 1)
    return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)


POOLERS.register(
    Pooler(
        name="mean",
        help="average of the token vectors (alias: avg)",
        source="Sentence-BERT (Reimers and Gurevych, 2019)",
        citation=REIMERS_2019,
        pool=mean,
        arrays=lambda states: states.mean(0),
        st_mode="mean",
        model2vec_mode="mean",
        snippet="(states[-1] * mask).sum(1) / mask.sum(1)",
        order=30,
    ),
    "avg",
)
