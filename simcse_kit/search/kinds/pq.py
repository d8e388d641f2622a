"""Inverted lists of product-quantized vectors."""

from simcse_kit.search.kinds._base import KINDS, MilvusIndex
from simcse_kit.search.kinds._factory import MILVUS_LISTS, MILVUS_PROBES, InvertedLists


def subvectors(dimension: int, size: int) -> int:
    """The largest number of equal parts, of at least ``size`` dimensions each, that divides a vector.

    >>> subvectors(384, 4), subvectors(30, 4), subvectors(7, 4), subvectors(1, 4)
    (96, 6, 1, 1)
    """
    return max(m for m in range(1, max(1, dimension // size) + 1) if dimension % m == 0)


KINDS.register(
    InvertedLists(
        name="pq",
        help="lists of near rows, product quantization: half a byte for 4 dimensions (fast scan)",
        source="Jégou, Douze and Schmid, 2011: Product quantization for nearest neighbor search; fast scan: "
        "André, Kermarrec and Le Scouarnec, 2015: Cache locality is not enough",
        order=5,
        auto=1,  # fast and small
        codes=lambda dimension: f"PQ{subvectors(dimension, 4)}x4fs",
        milvus=MilvusIndex(
            "IVF_PQ",
            {"nlist": MILVUS_LISTS, "nbits": 8},
            "nprobe",
            MILVUS_PROBES,
            10,
            False,
            params_of=lambda dimension: {"m": subvectors(dimension, 8)},
        ),
    )
)
