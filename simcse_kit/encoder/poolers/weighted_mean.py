"""Pooling ``weighted_mean``: the average of the tokens, with larger weights for later ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simcse_kit.encoder.poolers import POOLERS, Pooler

if TYPE_CHECKING:
    from torch import Tensor


_PAPER = """@misc{muennighoff-2022-sgpt,
  title = {{SGPT}: {GPT} Sentence Embeddings for Semantic Search},
  author = {Muennighoff, Niklas},
  year = {2022},
  url = {https://arxiv.org/abs/2202.08904},
}"""


def weighted_mean(hidden: Tensor, mask: Tensor | None) -> Tensor:
    """Average weighted by position 1..L: (B, L, D), (B, L) -> (B, D)."""
    import torch  # keeps torch out of help texts

    weight = torch.arange(1, hidden.shape[1] + 1, device=hidden.device, dtype=hidden.dtype).view(1, -1, 1)
    if mask is not None:
        weight = weight * mask.unsqueeze(-1).to(hidden.dtype)  # (B, L, 1)
    return (hidden * weight).sum(1) / weight.sum(1).clamp(min=1)


POOLERS.register(
    Pooler(
        name="weighted_mean",
        help="average weighted by position",
        source="SGPT (Muennighoff, 2022)",
        citation=_PAPER,
        pool=weighted_mean,
        st_mode="weightedmean",
        order=70,
    )
)
