"""Texts with vectors and the model that made them: build, change, save, open and search."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simcse_kit.index.build import build_index
    from simcse_kit.index.files import add_files, sync_files
    from simcse_kit.index.incoming import IndexCounts
    from simcse_kit.index.rebuild import rebuild_index
    from simcse_kit.index.sentence_index import SentenceIndex
    from simcse_kit.index.sync import SyncCounts

_HOME = {  # imported on use: mining needs no model
    "IndexCounts": "incoming",
    "SentenceIndex": "sentence_index",
    "SyncCounts": "sync",
    "add_files": "files",
    "build_index": "build",
    "rebuild_index": "rebuild",
    "sync_files": "files",
}

__all__ = [
    "IndexCounts",
    "SentenceIndex",
    "SyncCounts",
    "add_files",
    "build_index",
    "rebuild_index",
    "sync_files",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__} has no attribute {name}")
