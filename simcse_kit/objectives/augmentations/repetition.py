"""Word repetition (ESimCSE, Wu et al., 2022, section 3.1)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simcse_kit.objectives._base import AUGMENTATIONS, Augmentation, Vocabulary
from simcse_kit.parts.papers import WU_2022

if TYPE_CHECKING:
    import numpy as np

    from simcse_kit.objectives.augmentations._words import Ids


def word_repetition(ids: Ids, vocabulary: Vocabulary, rng: np.random.Generator, *, rate: float = 0.32) -> Ids:
    """ESimCSE (Wu et al., 2022, 3.1): doubles up to ``max(2, rate * n)`` of the n tokens, including word pieces.

    Draws their number uniformly, including 0, then the tokens. (L,) -> (L',) with L' >= L.
    """
    import numpy as np

    content = np.flatnonzero(~vocabulary.special[ids])
    count = rng.integers(0, min(len(content), max(2, int(rate * len(content)))), endpoint=True)
    times = np.ones(len(ids), np.int64)
    times[rng.permutation(content)[:count]] = 2
    return ids.repeat(times)


AUGMENTATIONS.register(
    Augmentation(
        name="repetition",
        help="some tokens stand twice",
        source="Wu et al., 2022, section 3.1",
        citation=WU_2022,
        order=1,
        apply=word_repetition,
    )
)
