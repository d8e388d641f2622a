"""Objectives of training, terms and augmentations: one file each."""

from simcse_kit.objectives._base import (
    AUGMENTATIONS,
    COLDEST,
    OBJECTIVES,
    TERMS,
    WARMEST,
    Augmentation,
    LossBatch,
    Neighborhood,
    Objective,
    Term,
    Vocabulary,
    local_scale,
)
from simcse_kit.objectives._guided import Guided

__all__ = [
    "AUGMENTATIONS",
    "COLDEST",
    "OBJECTIVES",
    "TERMS",
    "WARMEST",
    "Augmentation",
    "Guided",
    "LossBatch",
    "Neighborhood",
    "Objective",
    "Term",
    "Vocabulary",
    "local_scale",
]
