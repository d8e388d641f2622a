"""A sentence and the passage around it: training pairs from documents without titles."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from simcse_kit.data.prepare.splitting import clean, split

FEWEST_WORDS = 4  # fewest words of a sentence that serves as a query


def sentence_and_rest(texts: Sequence[str], seed: int) -> list[tuple[str, str]]:
    """One random sentence of each text, and the text without it (inverse cloze task, Lee et al., 2019).

    Leaves out texts of one sentence, and texts without a sentence of `FEWEST_WORDS` words.

    >>> sentence_and_rest(["Too short. Cats sleep most of the day.", "One sentence alone stands here."], seed=0)
    [('Cats sleep most of the day.', 'Too short.')]
    """
    random = np.random.default_rng(seed)
    pairs = []
    for text in texts:
        sentences = split(clean(text), "en")  # its rules for . ! ? and similar marks hold in most languages
        fit = [i for i, sentence in enumerate(sentences) if len(sentence.split()) >= FEWEST_WORDS]
        if len(sentences) > 1 and fit:
            at = fit[int(random.integers(len(fit)))]
            pairs.append((sentences[at], " ".join(sentences[:at] + sentences[at + 1 :])))
    return pairs
