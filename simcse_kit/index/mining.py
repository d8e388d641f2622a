"""`mine_pairs` and `cluster`: duplicates and topics of an indexed corpus."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from simcse_kit.search import BaseCollection, Clusters, Mined, cluster_rows, mine, open_collection
from simcse_kit.search.address import Address

if TYPE_CHECKING:
    from simcse_kit.index.sentence_index import SentenceIndex  # importing it would import its model


def mine_pairs(
    index: SentenceIndex | BaseCollection | str | Path | Address,
    threshold: float = 0.9,
    neighbors: int = 50,
    *,
    show_progress_bar: bool = False,
    trust_remote_code: bool = False,
) -> Mined:
    """Find pairs of sentences of an index with nearly the same meaning: duplicates and paraphrases.

    Args:
        index: an open index, or its address; no model is loaded.
        threshold: smallest cosine of a pair.
        neighbors: number of nearest neighbors to check for each sentence.
        show_progress_bar: show one.
        trust_remote_code: import the module of a kind that an index names as ``module:attribute``.

    Returns:
        P pairs, best first: iterate over them, or read ``scores`` (P,) and ``rows`` (P, 2). ``by_group()`` gives the
        groups that they form, each with a representative and all its members. Both have ``to_dataframe()``.

    Raises:
        SearchIndexError: no index there, a threshold that is not a cosine, or ``neighbors`` below 1.
    """
    return mine(_collection_of(index, trust_remote_code), threshold, neighbors, show_progress_bar=show_progress_bar)


def cluster(
    index: SentenceIndex | BaseCollection | str | Path | Address,
    n_clusters: int | Literal["auto"],
    *,
    examples: int = 3,
    keywords: int = 8,
    seed: int = 0,
    trust_remote_code: bool = False,
) -> Clusters:
    """Group the sentences of an index by spherical k-means.

    Args:
        index: an open index, or its address; no model is loaded.
        n_clusters: number of groups, K; "auto" chooses it by the silhouette of a sample, see ``choice`` of the result.
        examples: number of sentences to describe each group, the nearest to its center.
        keywords: number of words to describe each group, by class-based TF-IDF (Grootendorst, 2022).
        seed: random seed of the first centers.
        trust_remote_code: as in `mine_pairs`.

    Returns:
        K groups, largest first, with their ``centres`` (K, D) and a label for each sentence. ``to_dataframe()`` has one
        row per group, or per sentence; ``cross_tab(field)`` counts the values of a field in each group.

    Raises:
        SearchIndexError: no index there, fewer sentences than groups, or fewer than one group.
    """
    collection = _collection_of(index, trust_remote_code)
    return cluster_rows(collection, n_clusters, examples=examples, keywords=keywords, seed=seed)


def _collection_of(
    index: SentenceIndex | BaseCollection | str | Path | Address, trust_remote_code: bool
) -> BaseCollection:
    if isinstance(index, BaseCollection):
        return index
    if isinstance(index, str | Path | Address):
        return open_collection(index, trust_remote_code=trust_remote_code)
    return index._collection
