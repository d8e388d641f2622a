"""Vectors in, hits out: no model in sight."""

from simcse_kit.search.collection import Collection, Hit

__all__ = ["Collection", "Hit"]
