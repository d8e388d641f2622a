"""A graph of near rows."""

from simcse_kit.search.kinds._base import KINDS, MilvusIndex
from simcse_kit.search.kinds._factory import Graph

KINDS.register(
    Graph(
        name="hnsw",
        help="a graph of near rows (HNSW) over int8 vectors: the fastest for one query, slow to build",
        source="Malkov and Yashunin, 2018: Efficient and robust approximate nearest neighbor search using HNSW graphs",
        order=2,
        given="HNSW32_SQ8",
        milvus=MilvusIndex("HNSW", {"M": 32, "efConstruction": 200}, "ef", (16, 32, 64, 128, 256, 512, 1024), 1, True),
    )
)
