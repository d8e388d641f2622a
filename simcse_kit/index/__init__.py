"""Texts, their vectors and the model that made them: built, changed, saved, opened, searched."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simcse_kit.index.build import IndexCounts, add_files, build_index
    from simcse_kit.index.sentence_index import SentenceIndex

_HOME = {  # imported when they are asked for: mining needs no model
    "IndexCounts": "build",
    "SentenceIndex": "sentence_index",
    "add_files": "build",
    "build_index": "build",
}

__all__ = ["IndexCounts", "SentenceIndex", "add_files", "build_index"]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__} has no attribute {name}")
