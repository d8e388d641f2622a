"""Opening, creating and moving an index at its address: in a folder, or in Milvus."""

from __future__ import annotations

import os
from itertools import islice
from pathlib import Path

import numpy as np

from simcse_kit.search.address import STORES, Address, index_address, parse_address
from simcse_kit.search.base import BaseCollection
from simcse_kit.search.collection import Collection
from simcse_kit.search.structure import TARGET_RECALL

__all__ = ["STORES", "at_address", "new_collection", "open_collection", "token_of"]

TOKEN = "MILVUS_TOKEN"  # environment variable of the token, if none is given
_ROWS = 1 << 12  # rows copied at a time


def token_of(address: Address) -> str | None:
    """The token for a Milvus."""
    return address.token or os.environ.get(TOKEN)


def new_collection(
    dimension: int,
    kind: str = "auto",
    target_recall: float = TARGET_RECALL,
    address: str | Path | Address | None = None,
    *,
    hybrid: bool = False,
    store: str | None = None,
    uri: str | None = None,
    token: str | None = None,
) -> BaseCollection:
    """An empty collection in memory, for `save` to put at an address; None: a folder named later.

    ``hybrid``: with keywords.

    ``store``, ``uri`` and ``token`` are deprecated, see `index_address`.
    """
    if address is None and store is None and uri is None and token is None:
        return Collection(dimension, kind, target_recall, hybrid=hybrid)
    place = index_address("NAME" if address is None else address, store, uri, token)
    if place.uri is None:
        return Collection(dimension, kind, target_recall, hybrid=hybrid)
    from simcse_kit.search.milvus import MilvusCollection

    return MilvusCollection(dimension, kind, target_recall, hybrid=hybrid, uri=place.uri, token=token_of(place))


def open_collection(
    index: str | Path | Address,
    *,
    trust_remote_code: bool = False,
    store: str | None = None,
    uri: str | None = None,
    token: str | None = None,
) -> BaseCollection:
    """Open the index at an address; ``store``, ``uri`` and ``token`` are deprecated, see `index_address`.

    ``trust_remote_code``: as in `Collection.open`.

    Raises:
        SearchIndexError: no index there, or it cannot be read.
        MissingExtraError: pymilvus is not installed.
    """
    place = index_address(index, store, uri, token)
    if place.uri is None:
        return Collection.open(place.path, trust_remote_code=trust_remote_code)
    from simcse_kit.search.milvus import MilvusCollection

    return MilvusCollection.open(place.path, uri=place.uri, token=token_of(place))


def at_address(collection: BaseCollection, index: str | Path | Address) -> tuple[BaseCollection, str]:
    """A collection, and the path to pass to its `save`: this collection, or a copy of its rows in another store.

    For a collection in Milvus, an address may be the name of another collection there.
    """
    place = parse_address(index)
    if place.uri is None or place.uri == collection.uri:
        return collection, place.path
    hybrid = collection.keywords is not None
    made = new_collection(collection.dimension, collection.kind, collection.target_recall, place, hybrid=hybrid)
    made.model, made.source, made.queries = collection.model, collection.source, collection.queries
    rows = collection.now().rows()
    while some := list(islice(rows, _ROWS)):
        found, vectors = zip(*some, strict=True)
        made.add(
            [row.text for row in found],
            np.stack(vectors),
            [row.id for row in found],
            [row.metadata for row in found],
        )
    return made, place.path
