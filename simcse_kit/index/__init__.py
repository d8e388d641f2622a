"""Texts, their vectors and the model that made them: built, changed, saved, opened, searched."""

from simcse_kit.index.build import IndexCounts, add_files, build_index
from simcse_kit.index.sentence_index import SentenceIndex

__all__ = ["IndexCounts", "SentenceIndex", "add_files", "build_index"]
