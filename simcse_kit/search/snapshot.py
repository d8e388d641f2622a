"""State of an index at one instant, and its summary."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from simcse_kit.search.fields import Fields
from simcse_kit.search.store import KeywordEntry, Searched


@dataclass(frozen=True)
class IndexInfo:
    """Summary of an index."""

    count: int
    deleted: int  # rows that `Collection.compact` would remove
    dimension: int
    kind: str  # as requested
    structure: Searched | None  # None: every search is exact
    unindexed: int  # rows outside the structure, which are compared one by one
    segments: int
    bytes: int  # on the disk, of the last commit
    generation: int
    model: dict[str, Any]
    fields: Fields | None = None  # types of the metadata fields; None: unknown, as in an index of an older version
    keywords: bool = False  # whether keyword search is possible
    source: dict[str, Any] | None = None  # how files become its rows; None: unknown


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """State of an index at one instant: a reader takes it once, a writer replaces it as a whole."""

    dimension: int
    kind: str  # as requested
    target_recall: float
    model: dict[str, Any] = field(default_factory=dict)  # the owner's record of the model
    keywords: KeywordEntry | None = None  # None: search by meaning only
    next_id: int = 0  # next integer id; larger than any id so far
    id_type: type | None = None  # int or str; None: no row yet
    fields: Fields | None = field(default_factory=dict)  # types of the metadata fields; None: unknown
    source: dict[str, Any] | None = None  # the owner's record of how files become rows
