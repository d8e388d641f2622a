"""Search over vectors with texts and ids; this package needs no model."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simcse_kit.search.base import BaseCollection
    from simcse_kit.search.clustering import Clusters, cluster_rows
    from simcse_kit.search.collection import Collection
    from simcse_kit.search.cross_tab import CrossTab
    from simcse_kit.search.groups import Groups, SimilarGroup
    from simcse_kit.search.kinds._lines import KINDS
    from simcse_kit.search.mining import Mined, MinedPair, mine
    from simcse_kit.search.modes import SearchMode
    from simcse_kit.search.number_of_clusters import ClusterChoice
    from simcse_kit.search.rows import Hit, IndexRow, Ranks
    from simcse_kit.search.snapshot import IndexInfo
    from simcse_kit.search.stores import STORES, new_collection, open_collection

_HOME = {  # imported on use: the command's help needs only the kinds
    "KINDS": "kinds._lines",
    "STORES": "stores",
    "BaseCollection": "base",
    "ClusterChoice": "number_of_clusters",
    "Clusters": "clustering",
    "Collection": "collection",
    "CrossTab": "cross_tab",
    "SimilarGroup": "groups",
    "Groups": "groups",
    "Hit": "rows",
    "IndexInfo": "snapshot",
    "Mined": "mining",
    "MinedPair": "mining",
    "IndexRow": "rows",
    "Ranks": "rows",
    "SearchMode": "modes",
    "cluster_rows": "clustering",
    "mine": "mining",
    "new_collection": "stores",
    "open_collection": "stores",
}

__all__ = [
    "KINDS",
    "STORES",
    "BaseCollection",
    "ClusterChoice",
    "Clusters",
    "Collection",
    "CrossTab",
    "Groups",
    "Hit",
    "IndexInfo",
    "IndexRow",
    "Mined",
    "MinedPair",
    "Ranks",
    "SearchMode",
    "SimilarGroup",
    "cluster_rows",
    "mine",
    "new_collection",
    "open_collection",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__} has no attribute {name}")
