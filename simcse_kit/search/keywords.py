"""Ranking by words: BM25 over the live rows of an index, across its segments."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from simcse_kit.search.postings import Postings
from simcse_kit.search.rows import RowTable
from simcse_kit.search.vectors import Mask, Nearest
from simcse_kit.search.words import split_words

K1 = 1.2  # BM25's k1: how soon further occurrences of a word stop counting
B = 0.75  # BM25's b: penalty for long texts
Scores = NDArray[np.float64]


class Keywords:
    """BM25 (Robertson & Zaragoza, 2009) over live rows by number.

    Counts cover all tables and exclude deleted rows, so the ranking equals that of a compacted index.
    """

    def __init__(self, tables: Sequence[RowTable], live: Mask) -> None:
        self._tables = tables
        self._live = live

    @cached_property
    def _norms(self) -> Scores:
        """Denominator for each row: ``K1`` for a text of average length."""
        lengths = np.zeros(len(self._live))
        for table in self._tables:
            found = self._of_live(table.lengths())
            lengths[found.rows] = found.counts
        mean = lengths.sum() / max(1, np.count_nonzero(self._live))
        norms: Scores = K1 * (1 - B + B * lengths / max(mean, 1.0))
        return norms

    def nearest(self, queries: Iterable[str], k: int, allowed: Mask | None = None) -> Nearest:
        """The k best of the ``allowed`` live rows (None: all) that share a word with each of Q texts."""
        found = [self._best(query, k, allowed) for query in queries]
        best = Nearest(np.full((len(found), k), -np.inf, np.float32), np.full((len(found), k), -1, np.int64))
        for place, (scores, rows) in enumerate(found):
            best.scores[place, : len(rows)] = scores
            best.rows[place, : len(rows)] = rows
        return best

    def _best(self, query: str, k: int, allowed: Mask | None) -> tuple[Scores, NDArray[np.int64]]:
        scores = self.scores(query)
        if allowed is not None:
            scores[~allowed] = 0
        rows = np.flatnonzero(scores)
        if len(rows) > k:  # ties by row, also at the end
            least = np.partition(scores[rows], len(rows) - k)[len(rows) - k]
            rows = rows[scores[rows] >= least]
        order = np.lexsort((rows, -scores[rows]))[:k]
        return scores[rows[order]], rows[order]

    def scores(self, query: str) -> Scores:
        """BM25 of every row, (N,): 0 if it shares no word with a text."""
        scores = np.zeros(len(self._live))
        count = np.count_nonzero(self._live)
        for word, times in Counter(split_words(query)).items():
            for_word = [self._of_live(table.postings(word)) for table in self._tables]
            holding = sum(len(found.rows) for found in for_word)
            weight = times * np.log1p((count - holding + 0.5) / (holding + 0.5))
            for rows, counts in for_word:
                scores[rows] += weight * counts * (K1 + 1) / (counts + self._norms[rows])
        return scores

    def _of_live(self, found: Postings) -> Postings:
        rows = found.rows
        there = rows < len(self._live)  # pending may already have more rows
        there[there] = self._live[rows[there]]
        return Postings(rows[there], found.counts[there])
