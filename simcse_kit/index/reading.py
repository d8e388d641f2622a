"""Read access to an index: the reading half of `SentenceIndex`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, overload

from simcse_kit.encoder.call import checked_texts
from simcse_kit.index.grouping import best_of_groups
from simcse_kit.model import SimCSE
from simcse_kit.search import BaseCollection, Hit, IndexInfo, IndexRow
from simcse_kit.search.checks import checked_count
from simcse_kit.search.modes import SearchMode, check_mode
from simcse_kit.search.rows import Hits
from simcse_kit.types import Vectors
from simcse_kit.wording import counted


class IndexReader:
    """A model with the rows that it encoded: search and read access."""

    def __init__(self, model: SimCSE, collection: BaseCollection) -> None:
        self.model = model
        self._collection = collection

    def __len__(self) -> int:
        return len(self._collection)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({counted(len(self), 'sentence')}, model={self.model.name!r})"

    def now(self) -> Self:
        """This index at this instant, for reading: later changes are not visible. In Milvus, the index itself."""
        return type(self)(self.model, self._collection.now())

    @property
    def folder(self) -> Path | None:
        """Address of the last open or save."""
        return self._collection.folder

    @property
    def id_type(self) -> type | None:
        """Type of its ids, int or str; None while it is empty."""
        return self._collection.id_type

    def info(self) -> IndexInfo:
        """Number of sentences, search settings with recall, and size."""
        return self._collection.info()

    @property
    def fields(self) -> Mapping[str, str] | None:
        """Type of each metadata field, such as integer or text; None: an index of an older version."""
        return self._collection.fields

    def verify(self) -> None:
        """Read all of the last commit and compare it with its checksums; a difference raises a `SearchIndexError`."""
        self._collection.verify()

    def get(self, ids: Sequence[int | str]) -> list[IndexRow]:
        """Id, text and metadata of the sentences with these ids. Raises a `SearchIndexError` for a missing id."""
        return self._collection.get(ids)

    @overload
    def search(  # type: ignore[overload-overlap]  # one string is also a sequence of strings
        self,
        queries: str,
        k: int = ...,
        threshold: float | None = ...,
        filter: Mapping[str, Any] | None = ...,
        *,
        group_by: str | None = ...,
        mode: SearchMode = ...,
    ) -> list[Hit]: ...
    @overload
    def search(
        self,
        queries: Sequence[str],
        k: int = ...,
        threshold: float | None = ...,
        filter: Mapping[str, Any] | None = ...,
        *,
        group_by: str | None = ...,
        mode: SearchMode = ...,
    ) -> list[list[Hit]]: ...
    def search(
        self,
        queries: str | Sequence[str],
        k: int = 5,
        threshold: float | None = None,
        filter: Mapping[str, Any] | None = None,
        *,
        group_by: str | None = None,
        mode: SearchMode = "dense",
    ) -> Any:
        """The ``k`` most similar sentences, best first, with a cosine of at least ``threshold``.

        One string gives ``list[Hit]``, Q strings ``list[list[Hit]]``. A `Hit` has ``id``, ``text``, ``score`` and
        ``metadata``, and ``ranks`` if words were searched.

        Args:
            filter: conditions on the metadata, such as ``{"lang": "en", "year": {"$gte": 2020}}``; operators are $eq,
                $ne, $gt, $gte, $lt, $lte, $in, $nin, $exists, and $and, $or, $not around conditions. A field that no
                sentence has is an error, except with $exists.
            group_by: a metadata field; of the sentences with equal values, only the best is returned, such as the best
                passage of a ``document``. A sentence without a value is its own group.
            mode: dense searches by meaning; keyword by words, which finds names and codes (the score is BM25); hybrid
                by both (the score says how far a hit stands out among the best 100). The last two need an index with
                keywords, see `SentenceIndex.build`, and take no threshold.

        Raises:
            SearchIndexError: ``k`` below 1, an invalid filter, a field that no sentence has, no keywords, or a model
                that has changed since the index was built.
        """
        texts = [queries] if isinstance(queries, str) else checked_texts(queries)
        found = search_texts(self.model, self._collection, texts, k, threshold, filter, group_by=group_by, mode=mode)
        return found[0] if isinstance(queries, str) else found

    def search_words(
        self,
        queries: Sequence[str],
        k: int = 5,
        filter: Mapping[str, Any] | None = None,
        *,
        vectors: Vectors | None = None,
        fingerprint: str | None = None,
    ) -> list[list[Hit]]:
        """Like `search` by keyword for Q texts; with ``vectors`` (Q, D), see `search_vectors`, like hybrid search."""
        return self._collection.search_words(queries, k, filter, vectors=vectors, fingerprint=fingerprint)

    def check_mode(self, mode: str, threshold: float | None = None) -> None:
        """Raise a `SearchIndexError` for an unknown mode of `search`, or one that needs missing keywords."""
        check_mode(mode, threshold)
        if mode != "dense":
            self._collection.check_keywords()

    def check_filter(self, filter: Mapping[str, Any]) -> None:
        """Raise a `SearchIndexError` for a filter that is invalid, or that compares a field that no sentence has."""
        self._collection.condition_of(filter)

    def search_vectors(
        self,
        vectors: Vectors,
        k: int = 5,
        threshold: float | None = None,
        filter: Mapping[str, Any] | None = None,
        *,
        fingerprint: str | None = None,
    ) -> list[list[Hit]]:
        """Like `search`, with vectors (Q, D) of any length, from the index's model or an equal one.

        ``fingerprint``: of the model that made them (`SimCSE.fingerprint`); None: not checked. Raises an
        `IndexChangedError` if the index is from another model.
        """
        return self._collection.search(vectors, k, threshold, filter, fingerprint=fingerprint)

    def similar(
        self, id: int | str, k: int = 5, threshold: float | None = None, filter: Mapping[str, Any] | None = None
    ) -> list[Hit]:
        """The ``k`` sentences most similar to the sentence with this id, without it; as in `search`."""
        return Hits(self._collection.similar(id, k, threshold, filter))

    def vectors_of(self, ids: Sequence[int | str]) -> Vectors:
        """Unit vectors (n, D) of the sentences with these ids. Raises a `SearchIndexError` for a missing id."""
        return self._collection.vectors_of(ids)

    def sample(self, count: int, seed: int = 0) -> tuple[list[IndexRow], Vectors]:
        """At most ``count`` random rows, with their unit vectors (n, D)."""
        return self._collection.sample(count, seed)

    def texts(self) -> Iterator[str]:
        """Every sentence, in the order of adding."""
        return (row.text for row, _ in self._collection.rows())


def search_texts(
    model: SimCSE | None,
    collection: BaseCollection,
    texts: Sequence[str],
    k: int = 5,
    threshold: float | None = None,
    filter: Mapping[str, Any] | None = None,
    *,
    group_by: str | None = None,
    mode: SearchMode = "dense",
) -> list[Hits]:
    """Hits for each of Q texts, as in `SentenceIndex.search`; keyword search needs no model."""
    now = collection.now()
    if mode != "dense":
        check_mode(mode, threshold)
        now.check_keywords()  # before encoding
    if group_by is not None:
        now.check_field(group_by, "group_by is")
    vectors = made_with = None
    if mode != "keyword":
        assert model is not None
        made_with, vectors = model.fingerprint(), model.encode_query(texts)

    def search(numbers: Sequence[int], count: int) -> list[list[Hit]]:
        own = None if vectors is None else vectors[list(numbers)]
        if own is not None and mode == "dense":
            return now.search(own, count, threshold, filter, fingerprint=made_with)
        words = [texts[number] for number in numbers]
        return now.search_words(words, count, filter, vectors=own, fingerprint=made_with)

    if group_by is None:
        found = search(range(len(texts)), k)
    else:
        found = best_of_groups(search, len(texts), checked_count(k), group_by, len(now), now.most_hits)
    return [Hits(hits) for hits in found]
