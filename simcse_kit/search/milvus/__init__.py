"""An index in Milvus: a file of Milvus Lite, or a server."""

from simcse_kit.search.milvus.collection import MilvusCollection

__all__ = ["MilvusCollection"]
