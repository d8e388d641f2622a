"""Search by words, and hybrid search: one ranking from words and meaning."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Self

from simcse_kit.errors import SearchIndexError
from simcse_kit.search.checks import check_fingerprint, checked_count, unit_queries
from simcse_kit.search.filters import Condition
from simcse_kit.search.fusion import CODE_WEIGHT, DEPTH, RARE, WEIGHT, alone, fused, is_code
from simcse_kit.search.rows import Hit, IndexRow
from simcse_kit.search.store import KeywordEntry
from simcse_kit.search.vectors import Nearest
from simcse_kit.search.words import VERSION, split_words
from simcse_kit.types import Vectors


def keyword_entry(hybrid: bool) -> KeywordEntry | None:
    """Keyword settings of a new index; None: no keywords."""
    return KeywordEntry(words=VERSION) if hybrid else None


class WordSearch(ABC):
    """Search by words, for every store of an index."""

    @property
    @abstractmethod
    def keywords(self) -> KeywordEntry | None:
        """Keyword settings of the index; None: no keywords."""

    @property
    @abstractmethod
    def uri(self) -> str | None: ...

    @property
    @abstractmethod
    def dimension(self) -> int: ...

    @property
    @abstractmethod
    def model(self) -> dict[str, Any]: ...

    @abstractmethod
    def now(self) -> Self: ...

    @abstractmethod
    def condition_of(self, filter: Mapping[str, Any]) -> Condition: ...

    @abstractmethod
    def fetch(self, numbers: Sequence[int]) -> dict[int, IndexRow]: ...

    @abstractmethod
    def _ranked(
        self, queries: Sequence[str], vectors: Vectors | None, k: int, condition: Condition | None
    ) -> tuple[Nearest, Nearest | None]:
        """The k best rows of Q texts by words, and of Q unit vectors (Q, D), if given, by meaning."""

    def search_words(
        self,
        queries: Sequence[str],
        k: int = 5,
        filter: Mapping[str, Any] | None = None,
        *,
        vectors: Vectors | None = None,
        fingerprint: str | None = None,
    ) -> list[list[Hit]]:
        """The ``k`` best texts for each of Q texts by words; with ``vectors`` (Q, D) by words and meaning.

        ``filter`` and ``fingerprint``: as in `BaseCollection.search`.

        Raises:
            SearchIndexError: the index has no keywords; or errors of `BaseCollection.search`.
        """
        k = checked_count(k)
        now = self.now()
        now.check_keywords()
        check_fingerprint(now.model, None if vectors is None else fingerprint)
        unit = None if vectors is None else unit_queries(vectors, now.dimension)
        condition = None if filter is None else now.condition_of(filter)
        if not queries:
            return []
        by_words, by_meaning = now._ranked(queries, unit, k if unit is None else max(k, DEPTH), condition)
        found = alone(by_words, k) if by_meaning is None else fused(by_meaning, by_words, now._weights(queries), k)
        rows = now.fetch(list({one.row for answer in found for one in answer}))
        return [[Hit.of(rows[one.row], one.score, one.ranks) for one in answer] for answer in found]

    def _weights(self, queries: Sequence[str]) -> list[float]:
        """Weight of words relative to meaning for each of Q texts: higher for a text with a code in few rows."""
        codes = [[word for word in dict.fromkeys(split_words(query)) if is_code(word)] for query in queries]
        asked = list(dict.fromkeys(word for own in codes for word in own))
        if not asked:
            return [WEIGHT] * len(queries)
        holding = (self._ranked(asked, None, RARE + 1, None)[0].rows >= 0).sum(1)
        rare = {word for word, count in zip(asked, holding.tolist(), strict=True) if 0 < count <= RARE}
        return [CODE_WEIGHT if rare.intersection(own) else WEIGHT for own in codes]

    def check_keywords(self) -> None:
        """Raise a `SearchIndexError` if the index has no keywords."""
        if self.keywords is None:
            added = (
                ", or add them without encoding: simcse-kit index compact INDEX --hybrid" if self.uri is None else ""
            )
            raise SearchIndexError(
                f"this index has no keywords: build it with index build --hybrid (in Python hybrid=True){added}"
            )
        if self.keywords.words != VERSION:
            raise SearchIndexError(
                f"another version of simcse_kit made the keywords of this index ({self.keywords.words}, this "
                f"one has {VERSION}); to make them again: simcse-kit index compact INDEX --hybrid"
            )
