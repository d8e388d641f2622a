"""Pooling ``avg_top2``: the average of the last two layers."""

from __future__ import annotations

from simcse_kit.encoder.poolers import POOLERS, Pooler
from simcse_kit.encoder.poolers.mean import mean

POOLERS.register(
    Pooler(
        name="avg_top2",
        help="average of the last two layers' tokens",
        source="BERT-flow (Li et al., 2020)",
        pool=mean,
        layers=(-1, -2),
        st_mode="mean",
        snippet="((states[-1] + states[-2]) / 2 * mask).sum(1) / mask.sum(1)",
        order=40,
    )
)
