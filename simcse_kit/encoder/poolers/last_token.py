"""Pooling ``last_token``: the token that has seen all others in a causal decoder."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simcse_kit.encoder.poolers import POOLERS, Pooler
from simcse_kit.encoder.poolers.cls_before_pooler import token

if TYPE_CHECKING:
    from torch import Tensor


def last_token(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """The last kept token: (B, L, D), (B, L) -> (B, D)."""
    if mask is None:
        return hidden[:, -1]
    return token(hidden, mask.shape[1] - 1 - mask.int().flip(1).argmax(dim=1))


POOLERS.register(
    Pooler(
        name="last_token",
        help="the last token (decoders)",
        source="cpt-text (Neelakantan et al., 2022)",
        pool=last_token,
        st_mode="lasttoken",
        snippet="states[-1][torch.arange(len(sentences)), mask[:, :, 0].sum(1) - 1]",
        order=80,
    )
)
