"""Pooling ``avg_first_last``: the average of the first and the last layer."""

from __future__ import annotations

from simcse_kit.encoder.poolers import POOLERS, Pooler
from simcse_kit.encoder.poolers.mean import mean

POOLERS.register(
    Pooler(
        name="avg_first_last",
        help="average of the first and last layers' tokens",
        source="BERT-whitening (Su et al., 2021)",
        pool=mean,
        layers=(1, -1),
        st_mode="mean",
        snippet="((states[1] + states[-1]) / 2 * mask).sum(1) / mask.sum(1)",
        order=50,
    )
)
