"""One search of an index, by meaning, by words or by both; every caller's way to it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from simcse_kit.index.grouping import best_of_groups
from simcse_kit.model import SimCSE
from simcse_kit.search import BaseCollection, Hit
from simcse_kit.search.checks import checked_count
from simcse_kit.search.modes import SearchMode, check_mode
from simcse_kit.search.rows import Hits


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
    """Hits for each of Q texts, as `SentenceIndex.search` describes; by keyword the model is not needed."""
    now = collection.now()
    check_mode(mode, threshold)
    if mode != "dense":
        now.check_keywords()  # before anything is encoded
    if group_by is not None:
        now.check_field(group_by, "group_by names")
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
