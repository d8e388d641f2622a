"""Index kinds, one file each: how the nearest rows are found.

A kind that compares every vector is an `IndexKind`. One whose FAISS structure finds candidates is an `ApproximateKind`,
or `InvertedLists` or `Graph` if FAISS's factory makes it. A new kind is a file that registers one such object.
"""

from simcse_kit.search.kinds._base import KINDS, ApproximateKind, IndexKind, MilvusIndex
from simcse_kit.search.kinds._choice import get_kind
from simcse_kit.search.kinds._factory import Graph, InvertedLists

__all__ = [
    "KINDS",
    "ApproximateKind",
    "Graph",
    "IndexKind",
    "InvertedLists",
    "MilvusIndex",
    "get_kind",
]
