"""Bars of what takes long, in one place: in Python tqdm's own, in a command what it puts in their place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_make: Callable[..., Any] | None = None


def tqdm(*arguments: Any, **settings: Any) -> Any:
    """A bar with the arguments of ``tqdm.auto.tqdm``, of the kind that this process shows."""
    if _make is not None:
        return _make(*arguments, **settings)
    from tqdm.auto import tqdm as own

    return own(*arguments, **settings)


def show_by(make: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """Make every later bar of this process by a subclass of tqdm; None: tqdm's own. Returns what made them before."""
    global _make
    before, _make = _make, make
    return before
