"""Inverted lists of whole vectors."""

from simcse_kit.search.kinds._base import KINDS, MilvusIndex
from simcse_kit.search.kinds._factory import MILVUS_LISTS, MILVUS_PROBES, InvertedLists

KINDS.register(
    InvertedLists(
        name="ivf",
        help="lists of near rows (IVF), whole vectors",
        source="Sivic and Zisserman, 2003: Video Google",
        order=3,
        codes=lambda dimension: "Flat",
        milvus=MilvusIndex("IVF_FLAT", {"nlist": MILVUS_LISTS}, "nprobe", MILVUS_PROBES, 1, True),
    )
)
