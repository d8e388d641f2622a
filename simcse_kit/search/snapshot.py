"""What an index is at one instant, and what it says about itself."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from simcse_kit.search.fields import Fields
from simcse_kit.search.store import KeywordEntry, Searched


@dataclass(frozen=True)
class IndexInfo:
    """What an index holds."""

    count: int
    deleted: int  # rows that `Collection.compact` would remove
    dimension: int
    kind: str  # as asked for
    structure: Searched | None  # None: every search is exact
    unindexed: int  # rows behind the structure, which are compared one by one
    segments: int
    bytes: int  # on the disk, of the last commit
    generation: int
    model: dict[str, Any]
    fields: Fields | None = None  # types of the metadata; None: not known, of an index of an older version
    keywords: bool = False  # whether rows are found by their words too
    source: dict[str, Any] | None = None  # how files become its rows; None: not known


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """What an index is at one instant: a reader takes it once, a writer replaces it as a whole."""

    dimension: int
    kind: str  # as asked for
    target_recall: float
    model: dict[str, Any] = field(default_factory=dict)  # what the owner keeps about the model with the rows
    keywords: KeywordEntry | None = None  # None: searched by meaning alone
    next_id: int = 0  # the first integer that was never an id
    id_type: type | None = None  # int or str; None: no row yet
    fields: Fields | None = field(default_factory=dict)  # of the metadata; None: not known
    source: dict[str, Any] | None = None  # what the owner keeps about how files become rows
