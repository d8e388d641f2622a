"""Cropping (Gao et al., 2021, table 1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simcse_kit.objectives._base import AUGMENTATIONS, Augmentation, Vocabulary
from simcse_kit.parts.papers import GAO_2021

if TYPE_CHECKING:
    import numpy as np

    from simcse_kit.objectives.augmentations._words import Ids


def span_cropping(ids: Ids, vocabulary: Vocabulary, rng: np.random.Generator, *, ratio: float = 0.9) -> Ids:
    """Keeps one run of ``ratio`` of the words; cropping 10 % was best in SimCSE's table 1 (Gao et al., 2021).

    (L,) -> (L',) with L' <= L.
    """
    from simcse_kit.objectives.augmentations._words import words_of

    words, count = words_of(ids, vocabulary)
    if count == 0:
        return ids
    kept = max(1, round(ratio * count))
    first = rng.integers(0, count - kept, endpoint=True)
    return ids[(words < 0) | ((words >= first) & (words < first + kept))]


AUGMENTATIONS.register(
    Augmentation(
        name="cropping",
        help="one run of nine tenths of the words stays",
        source="Gao et al., 2021, table 1",
        citation=GAO_2021,
        order=3,
        apply=span_cropping,
    )
)
