"""Inverted lists of vectors with one byte per dimension."""

from simcse_kit.search.kinds._base import KINDS, MilvusIndex
from simcse_kit.search.kinds._factory import MILVUS_LISTS, MILVUS_PROBES, InvertedLists

KINDS.register(
    InvertedLists(
        name="int8",
        help="lists of near rows, vectors of one byte a dimension",
        order=4,
        auto=2,  # nearly lossless
        codes=lambda dimension: "SQ8",
        milvus=MilvusIndex("IVF_SQ8", {"nlist": MILVUS_LISTS}, "nprobe", MILVUS_PROBES, 2, True),
    )
)
