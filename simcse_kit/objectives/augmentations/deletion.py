"""Word deletion (Gao et al., 2021, table 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simcse_kit.objectives._base import AUGMENTATIONS, Augmentation, Vocabulary
from simcse_kit.parts.papers import GAO_2021

if TYPE_CHECKING:
    import numpy as np

    from simcse_kit.objectives.augmentations._words import Ids


def word_deletion(ids: Ids, vocabulary: Vocabulary, rng: np.random.Generator, *, rate: float = 0.1) -> Ids:
    """Drops each word with probability ``rate``; 10 % was best in SimCSE's table 1 (Gao et al., 2021).

    (L,) -> (L',) with L' <= L.
    """
    from simcse_kit.objectives.augmentations._words import words_of

    words, count = words_of(ids, vocabulary)
    if count == 0:
        return ids
    kept = rng.random(count) >= rate
    if not kept.any():
        kept[rng.integers(count)] = True
    return ids[(words < 0) | kept[words]]


AUGMENTATIONS.register(
    Augmentation(
        name="deletion",
        help="a tenth of the words is left out",
        source="Gao et al., 2021, table 1",
        citation=GAO_2021,
        order=2,
        apply=word_deletion,
    )
)
