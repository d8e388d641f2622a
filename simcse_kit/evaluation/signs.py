"""Signs of harm to search, measured on texts without labels or judgements, from a model's own neighborhoods.

No sign shows that a model is better. ``eval/gate.py`` measured which signs fall if search is harmed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.errors import DataError
from simcse_kit.evaluation.bootstrap import Floats
from simcse_kit.evaluation.metrics import nearest_columns, unit
from simcse_kit.types import EncodeFn, Vectors

NEAREST = 10
DROPPED = 0.3  # share of words dropped
_FEWEST = 2 * NEAREST


class SearchSigns(NamedTuple):
    """Signs of each of n texts, searched among the others; all from 0 to 1."""

    transitivity: Floats  # (n,): share of the pairs of its ten nearest that are neighbors of each other
    keywords: Floats  # (n,): share of its ten nearest that are also nearest by words (TF-IDF)
    dropped: Floats  # (n,): reciprocal rank of the text for a query with 30 % of its words dropped
    halves: Floats  # (n,): reciprocal rank of a text's second half for its first half as query


def signs(encode: EncodeFn, texts: Sequence[str], *, seed: int = 0) -> SearchSigns:
    """Measure the signs of a model on n distinct texts; the same seed drops the same words for every model.

    Args:
        encode: N texts to (N, D).
        texts: texts not used in training.

    Raises:
        DataError: fewer than 20 texts.
    """
    if len(texts) < _FEWEST:
        raise DataError(f"signs of harm need at least {_FEWEST} texts; got {len(texts)}")
    views = _views(texts, seed)
    vectors = unit(np.asarray(encode([text for view in (texts, *views) for text in view]), dtype=np.float32))
    whole, dropped, first, second = vectors.reshape(4, len(texts), -1)
    near = nearest_others(whole)
    return SearchSigns(
        transitivity(near),
        (near[:, :, None] == _nearest_by_words(texts)[:, None, :]).any(-1).mean(1),
        reciprocal_ranks(dropped, whole),
        reciprocal_ranks(first, second),
    )


def _views(texts: Sequence[str], seed: int) -> list[list[str]]:
    """Each text with words dropped, its first half and its second half; one word is all three."""
    random = np.random.default_rng(seed)
    views: list[list[str]] = [[], [], []]
    for text in texts:
        words = text.split() or [text]
        kept = [word for word, chance in zip(words, random.random(len(words)), strict=True) if chance > DROPPED]
        for view, part in zip(views, (" ".join(kept or words), *halves(words)), strict=True):
            view.append(part)
    return views


def halves(words: Sequence[str]) -> tuple[str, str]:
    """First and second half of a text's words; for one word, both are this word.

    >>> halves(["a", "b", "c"]), halves(["a"])
    (('a b', 'c'), ('a', 'a'))
    """
    middle = (len(words) + 1) // 2
    return " ".join(words[:middle]), " ".join(words[middle:] or words)


def nearest_others(vectors: Vectors, k: int = NEAREST) -> NDArray[np.intp]:
    """The k nearest others of each of n unit vectors, best first, ties by order: (n, k)."""
    cosines = vectors @ vectors.T  # (n, n): 4 MB for a thousand texts
    np.fill_diagonal(cosines, -np.inf)
    return nearest_columns(cosines, k)


def transitivity(near: NDArray[np.intp]) -> Floats:
    """Among ordered pairs of each text's k nearest, the share in which the second is among the k nearest of the first.

    >>> transitivity(np.array([[1, 2], [0, 2], [0, 1], [0, 1]])).tolist()  # 0, 1 and 2 are all neighbours
    [1.0, 1.0, 1.0, 1.0]
    """
    count, k = near.shape
    linked = np.zeros((count, count), dtype=bool)
    linked[np.arange(count)[:, None], near] = True
    pairs = linked[near[:, :, None], near[:, None, :]]  # (n, k, k)
    found: Floats = pairs.sum((1, 2)) / (k * (k - 1))  # no text is its own neighbor
    return found


def _nearest_by_words(texts: Sequence[str], k: int = NEAREST) -> NDArray[np.intp]:
    """The k nearest others by TF-IDF cosine; -1 if fewer share a word."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    try:
        weights = TfidfVectorizer(token_pattern=r"(?u)\b\w+\b", sublinear_tf=True).fit_transform(texts)
    except ValueError:  # no words at all
        return np.full((len(texts), k), -1)
    cosines = (weights @ weights.T).toarray()
    np.fill_diagonal(cosines, -1)
    near = nearest_columns(cosines, k)
    return np.where(np.take_along_axis(cosines, near, 1) > 0, near, -1)


def reciprocal_ranks(queries: Vectors, texts: Vectors) -> Floats:
    """1 / rank of the i-th text for the i-th query; ties count half against it."""
    cosines = queries @ texts.T
    own = np.diagonal(cosines)[:, None]
    above = (cosines > own).sum(1) + ((cosines == own).sum(1) - 1) / 2
    found: Floats = 1 / (1 + above)
    return found
