"""Fusion of two rankings: a hit counts by how far it stands out among the best of its ranking.

A weighted sum of scores (Bruch et al., 2023, "An Analysis of Fusion Functions for Hybrid Retrieval"), not of ranks:
reciprocal rank fusion (Cormack et al., 2009) gives a ranking that finds nothing the same weight as one that does.
Cosines and BM25 become comparable in standard deviations over the best `DEPTH` of each query. So words count little if
many texts contain them equally well, and much if only one text has them. ``eval/hybrid.py`` measures both ways.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.search.rows import Ranks
from simcse_kit.search.vectors import Nearest
from simcse_kit.types import Vectors

DEPTH = 100  # hits that count in each ranking
WEIGHT = 0.3  # weight of words relative to meaning
CODE_WEIGHT = 1.5  # the same for queries with a code: vectors represent codes badly
RARE = 10  # a code in at most this many rows identifies a text


class Ranked(NamedTuple):
    """A row with its rank."""

    row: int
    score: float
    ranks: Ranks


def is_code(word: str) -> bool:
    """Whether a word looks like a code: letters and digits in one word, or a long number.

    Examples:
        >>> [word for word in ["error", "0x80070057", "abc123", "24", "80070057"] if is_code(word)]
        ['0x80070057', 'abc123', '80070057']
    """
    return any(map(str.isdigit, word)) and (not word.isdigit() or len(word) > 3)


def alone(by_words: Nearest, k: int) -> list[list[Ranked]]:
    """The k best of Q keyword rankings."""
    return [
        [
            Ranked(row, score, Ranks(None, rank))
            for rank, (score, row) in enumerate(zip(scores[:k], rows[:k], strict=True), start=1)
            if row >= 0
        ]
        for scores, rows in zip(by_words.scores.tolist(), by_words.rows.tolist(), strict=True)
    ]


def fused(by_meaning: Nearest, by_words: Nearest, weights: Sequence[float], k: int) -> list[list[Ranked]]:
    """The k best of Q rankings by meaning (Q, A) and by words (Q, B) together, with a weight of words for each query.

    A and B are at least `DEPTH`, unless there are fewer rows. Ties are broken by the rank by meaning, then by words.
    """
    dense, words = (_standing_out(ranking.scores) for ranking in (by_meaning, by_words))
    return [
        _joined(
            [by_meaning.rows[query].tolist(), by_words.rows[query].tolist()], (dense[query], weight * words[query]), k
        )
        for query, weight in enumerate(weights)
    ]


def _standing_out(scores: Vectors) -> NDArray[np.float64]:
    """How far scores (Q, A), best first, are above the last of the `DEPTH` best, in standard deviations of these.

    Missing rows, and rows below the best, do not stand out.
    """
    found = np.where(np.isfinite(scores), scores, 0).astype(np.float64)  # all others score 0 by words
    best = found[:, :DEPTH]
    if not best.shape[1]:
        return found
    spread = best.std(1, keepdims=True)
    above = np.maximum(found - best[:, -1:], 0)
    deviations: NDArray[np.float64] = np.divide(above, spread, out=np.zeros_like(above), where=spread > 0)
    return deviations


def _joined(rankings: list[list[int]], parts: Sequence[NDArray[np.float64]], k: int) -> list[Ranked]:
    places: list[dict[int, int]] = [{row: at for at, row in enumerate(rows) if row >= 0} for rows in rankings]
    found = []
    for row in places[0] | places[1]:
        there = [own.get(row) for own in places]
        score = sum(float(part[at]) for part, at in zip(parts, there, strict=True) if at is not None)
        found.append(Ranked(row, score, Ranks(*(None if at is None else at + 1 for at in there))))
    return sorted(found, key=_place)[:k]


def _place(one: Ranked) -> tuple[float, ...]:
    """By score, then by the ranks behind it, so that further hits do not change the first ones."""
    ranks = (np.inf if rank is None or (one.score and rank > DEPTH) else rank for rank in one.ranks)
    return (-one.score, *ranks)
