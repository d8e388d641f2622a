"""Word shuffling (ConSERT, Yan et al., 2021, section 3.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simcse_kit.objectives._base import AUGMENTATIONS, Augmentation, Vocabulary
from simcse_kit.parts.papers import YAN_2021

if TYPE_CHECKING:
    import numpy as np

    from simcse_kit.objectives.augmentations._words import Ids


def word_shuffling(ids: Ids, vocabulary: Vocabulary, rng: np.random.Generator) -> Ids:
    """Shuffles all words (ConSERT's token shuffling, Yan et al., 2021, 3.2), keeping their pieces together.

    (L,) -> (L,).
    """
    import numpy as np

    from simcse_kit.objectives.augmentations._words import words_of

    words, count = words_of(ids, vocabulary)
    content = np.flatnonzero(words >= 0)
    shuffled = ids.copy()
    shuffled[content] = ids[content[rng.permutation(count)[words[content]].argsort(kind="stable")]]
    return shuffled


AUGMENTATIONS.register(
    Augmentation(
        name="shuffling",
        help="all words in another order",
        source="Yan et al., 2021, section 3.2",
        citation=YAN_2021,
        order=4,
        apply=word_shuffling,
    )
)
