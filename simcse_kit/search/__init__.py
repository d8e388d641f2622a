"""Vectors in, hits out: no model in sight."""

from simcse_kit.search.base import BaseCollection, Hit, Info
from simcse_kit.search.clustering import Clusters, cluster
from simcse_kit.search.collection import Collection
from simcse_kit.search.mining import Mined, Pair, mine
from simcse_kit.search.rows import Row
from simcse_kit.search.stores import STORES, new_collection, open_collection
from simcse_kit.search.structure import KINDS

__all__ = [
    "KINDS",
    "STORES",
    "BaseCollection",
    "Clusters",
    "Collection",
    "Hit",
    "Info",
    "Mined",
    "Pair",
    "Row",
    "cluster",
    "mine",
    "new_collection",
    "open_collection",
]
