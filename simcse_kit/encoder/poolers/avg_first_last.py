"""Pooling ``avg_first_last``: the average of the first and the last layer."""

from __future__ import annotations

from simcse_kit.encoder.poolers import POOLERS, Pooler
from simcse_kit.encoder.poolers.mean import mean

_PAPER = """@misc{su-etal-2021-whitening,
  title = {Whitening Sentence Representations for Better Semantics and Faster Retrieval},
  author = {Su, Jianlin and Cao, Jiarun and Liu, Weijie and Ou, Yangyiwen},
  year = {2021},
  url = {https://arxiv.org/abs/2103.15316},
}"""


POOLERS.register(
    Pooler(
        name="avg_first_last",
        help="average of the first and last layers' tokens",
        source="BERT-whitening (Su et al., 2021)",
        citation=_PAPER,
        pool=mean,
        layers=(1, -1),
        st_mode="mean",
        snippet="((states[1] + states[-1]) / 2 * mask).sum(1) / mask.sum(1)",
        order=50,
    )
)
