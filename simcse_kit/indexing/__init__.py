"""Files of any size into an index, long documents as passages."""

from simcse_kit.indexing.build import IndexCounts, add_files, build_index

__all__ = ["IndexCounts", "add_files", "build_index"]
