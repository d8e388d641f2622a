"""What a model is trained for: one file for each objective, term and augmentation."""

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
