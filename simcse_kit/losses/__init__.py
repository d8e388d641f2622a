"""Losses: pure functions of embeddings or of their similarities. No model, no trainer, no globals."""

from simcse_kit.losses.contrastive import HARDNESS_MODES, info_nce, nt_xent
from simcse_kit.losses.matryoshka import matryoshka
from simcse_kit.losses.noise import noise_negatives
from simcse_kit.losses.ranking import (
    blend,
    consistency,
    embedding_distillation,
    list_mle,
    list_net,
    similarity_distillation,
)
from simcse_kit.losses.scored import angle, cosent
from simcse_kit.losses.supervised import sup_con

__all__ = [
    "HARDNESS_MODES",
    "angle",
    "blend",
    "consistency",
    "cosent",
    "embedding_distillation",
    "info_nce",
    "list_mle",
    "list_net",
    "matryoshka",
    "noise_negatives",
    "nt_xent",
    "similarity_distillation",
    "sup_con",
]
