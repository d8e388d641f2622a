"""Pooling ``avg_top2``: the average of the last two layers."""

from __future__ import annotations

from simcse_kit.encoder.poolers import POOLERS, Pooler
from simcse_kit.encoder.poolers.mean import mean

_PAPER = """@inproceedings{li-etal-2020-bert-flow,
  title = {On the Sentence Embeddings from Pre-trained Language Models},
  author = {Li, Bohan and Zhou, Hao and He, Junxian and Wang, Mingxuan and Yang, Yiming and Li, Lei},
  booktitle = {Proceedings of EMNLP},
  year = {2020},
  url = {https://aclanthology.org/2020.emnlp-main.733},
}"""


POOLERS.register(
    Pooler(
        name="avg_top2",
        help="average of the last two layers' tokens",
        source="BERT-flow (Li et al., 2020)",
        citation=_PAPER,
        pool=mean,
        layers=(-1, -2),
        st_mode="mean",
        snippet="((states[-1] + states[-2]) / 2 * mask).sum(1) / mask.sum(1)",
        order=40,
    )
)
