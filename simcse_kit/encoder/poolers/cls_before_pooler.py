"""Pooling ``cls_before_pooler``: CLS, unchanged."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simcse_kit.encoder.poolers import POOLERS, Pooler
from simcse_kit.parts.papers import GAO_2021

if TYPE_CHECKING:
    from torch import Tensor


def first_token(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """The first kept token, CLS in BERT-like models: (B, L, D), (B, L) -> (B, D)."""
    if mask is None:
        return hidden[:, 0]
    return token(hidden, mask.int().argmax(dim=1))


def token(hidden: Tensor, index: Tensor) -> Tensor:
    """One token of each row: (B, L, D), (B,) -> (B, D). A trace of it is valid for every B."""
    return hidden.gather(1, index.view(-1, 1, 1).expand(-1, 1, hidden.shape[2])).squeeze(1)


POOLERS.register(
    Pooler(
        name="cls_before_pooler",
        help="the bare CLS vector",
        source="SimCSE, unsupervised (Gao et al., 2021)",
        citation=GAO_2021,
        pool=first_token,
        arrays=lambda states: states[0],
        st_mode="cls",
        model2vec_mode="first",
        reads_first_token=True,
        snippet="states[-1][:, 0]",
        order=20,
    )
)
