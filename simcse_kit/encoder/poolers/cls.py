"""Pooling ``cls``: CLS, then a dense layer and tanh, trained and kept."""

from __future__ import annotations

from simcse_kit.encoder.poolers import POOLERS, Pooler
from simcse_kit.encoder.poolers.cls_before_pooler import first_token
from simcse_kit.parts.papers import GAO_2021

POOLERS.register(
    Pooler(
        name="cls",
        help="CLS, then dense + tanh",
        source="SimCSE, supervised (Gao et al., 2021)",
        citation=GAO_2021,
        pool=first_token,
        arrays=lambda states: states[0],
        st_mode="cls",
        model2vec_mode="pooler",
        head=True,
        reads_first_token=True,
        order=10,
    )
)
