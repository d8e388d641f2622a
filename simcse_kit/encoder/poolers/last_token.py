"""Pooling ``last_token``: in a causal decoder, the token that has seen all others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simcse_kit.encoder.poolers import POOLERS, Pooler
from simcse_kit.encoder.poolers.cls_before_pooler import token

if TYPE_CHECKING:
    from torch import Tensor


_PAPER = """@misc{neelakantan-etal-2022-cpt,
  title = {Text and Code Embeddings by Contrastive Pre-Training},
  author = {Neelakantan, Arvind and Xu, Tao and Puri, Raul and others},
  year = {2022},
  url = {https://arxiv.org/abs/2201.10005},
}"""


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
        citation=_PAPER,
        pool=last_token,
        st_mode="lasttoken",
        model2vec_mode="last",
        snippet="states[-1][torch.arange(len(sentences)), mask[:, :, 0].sum(1) - 1]",
        order=80,
    )
)
