"""Pooling ``mask``: the mask token of a template."""

from __future__ import annotations

from simcse_kit.encoder.poolers import POOLERS, Pooler
from simcse_kit.encoder.poolers.mean import mean

_PAPER = """@inproceedings{jiang-etal-2022-promptbert,
  title = {{PromptBERT}: Improving {BERT} Sentence Embeddings with Prompts},
  author = {Jiang, Ting and Jiao, Jian and Huang, Shaohan and Zhang, Zihan and Wang, Deqing and Zhuang, Fuzhen and
            Wei, Furu and Huang, Haizhen and Deng, Denvy and Zhang, Qi},
  booktitle = {Proceedings of EMNLP},
  year = {2022},
  url = {https://aclanthology.org/2022.emnlp-main.603},
}"""


POOLERS.register(
    Pooler(
        name="mask",
        help="the mask token of a template (PromptBERT)",
        source="PromptBERT (Jiang et al., 2022)",
        citation=_PAPER,
        pool=mean,
        st_mode="mean",
        mask_token=True,
        order=90,
    )
)
