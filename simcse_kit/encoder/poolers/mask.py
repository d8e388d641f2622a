"""Pooling ``mask``: the mask token of a template."""

from __future__ import annotations

from simcse_kit.encoder.poolers import POOLERS, Pooler
from simcse_kit.encoder.poolers.mean import mean

POOLERS.register(
    Pooler(
        name="mask",
        help="the mask token of a template (PromptBERT)",
        source="PromptBERT (Jiang et al., 2022)",
        pool=mean,
        st_mode="mean",
        mask_token=True,
        order=90,
    )
)
