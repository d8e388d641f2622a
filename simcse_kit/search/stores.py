"""Where an index is kept: in a folder, or in Milvus."""

from __future__ import annotations

import os
from pathlib import Path

from simcse_kit.errors import SearchIndexError
from simcse_kit.search.base import BaseCollection
from simcse_kit.search.collection import Collection
from simcse_kit.search.structure import TARGET_RECALL

STORES = {
    "folder": "a folder of this machine",
    "milvus": "a collection of Milvus: a file of Milvus Lite, or a server",
}
TOKEN = "MILVUS_TOKEN"  # environment variable of the token, where none is given


def milvus_options(store: str, uri: str | None, token: str | None) -> tuple[str, str | None] | None:
    """(uri, token) of Milvus, or None for a folder; what does not fit together is an error."""
    if store not in STORES:
        raise SearchIndexError(f"store must be one of {', '.join(STORES)}; got {store!r}")
    if store == "folder":
        if uri is not None or token is not None:
            raise SearchIndexError("uri and token are of a Milvus: --store milvus")
        return None
    if not uri:
        raise SearchIndexError("store milvus needs its uri: --uri FILE.db or --uri http://host:19530")
    return uri, token or os.environ.get(TOKEN)


def new_collection(
    dimension: int,
    kind: str = "auto",
    target_recall: float = TARGET_RECALL,
    *,
    store: str = "folder",
    uri: str | None = None,
    token: str | None = None,
) -> BaseCollection:
    """An empty collection in memory, which `save` puts there."""
    if (milvus := milvus_options(store, uri, token)) is None:
        return Collection(dimension, kind, target_recall)
    from simcse_kit.search.milvus import MilvusCollection

    return MilvusCollection(dimension, kind, target_recall, uri=milvus[0], token=milvus[1])


def open_collection(
    index: str | Path, *, store: str = "folder", uri: str | None = None, token: str | None = None
) -> BaseCollection:
    """The index of this name: a folder, or a collection.

    Raises:
        SearchIndexError: none there, or one that cannot be read.
        MissingExtraError: no pymilvus.
    """
    if (milvus := milvus_options(store, uri, token)) is None:
        return Collection.open(index)
    from simcse_kit.search.milvus import MilvusCollection

    return MilvusCollection.open(index, uri=milvus[0], token=milvus[1])
