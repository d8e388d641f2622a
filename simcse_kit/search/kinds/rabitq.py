"""Inverted lists of vectors with one bit per dimension."""

from simcse_kit.search.kinds._base import KINDS, MilvusIndex
from simcse_kit.search.kinds._factory import MILVUS_LISTS, MILVUS_PROBES, InvertedLists

KINDS.register(
    InvertedLists(
        name="rabitq",
        help="lists of near rows, RaBitQ: one bit a dimension",
        source="Gao and Long, 2024: RaBitQ",
        order=6,
        codes=lambda dimension: "RaBitQ",
        milvus=MilvusIndex("IVF_RABITQ", {"nlist": MILVUS_LISTS}, "nprobe", MILVUS_PROBES, 10, False),
    )
)
