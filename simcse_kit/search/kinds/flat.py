"""Exact search: every vector is compared."""

from simcse_kit.search.kinds._base import KINDS, IndexKind, MilvusIndex

KINDS.register(
    IndexKind(
        name="flat",
        help="exact: every vector is compared",
        order=1,
        auto=0,
        milvus=MilvusIndex("FLAT", {}, None, (), 1, True),
    )
)
