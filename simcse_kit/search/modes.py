"""Search modes: by meaning, by words, or by both."""

from __future__ import annotations

from typing import Literal, get_args

from simcse_kit.errors import SearchIndexError

SearchMode = Literal["dense", "keyword", "hybrid"]
"""Search mode: by meaning, by words, or by both."""
MODES: tuple[SearchMode, ...] = get_args(SearchMode)


def check_mode(mode: str, threshold: float | None) -> None:
    """Raise an error for an unknown mode, or for a threshold in a mode whose scores are not cosines."""
    if mode not in MODES:
        raise SearchIndexError(f"mode must be one of {', '.join(MODES)}; got {mode!r}")
    if mode != "dense" and threshold is not None:
        raise SearchIndexError(f"threshold is a cosine, but mode {mode} has other scores: leave it out")
