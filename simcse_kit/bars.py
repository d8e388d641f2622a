"""Progress bars, in one place. Python calls show tqdm's bars; commands may replace them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_make: Callable[..., Any] | None = None


def tqdm(*arguments: Any, **settings: Any) -> Any:
    """A bar of the kind that this process shows; takes the arguments of ``tqdm.auto.tqdm``."""
    if _make is not None:
        return _make(*arguments, **settings)
    from tqdm.auto import tqdm as own

    return own(*arguments, **settings)


def show_by(make: Callable[..., Any] | None) -> Callable[..., Any] | None:
    """Make later bars of this process with a subclass of tqdm (None: tqdm itself). Returns the previous class."""
    global _make
    before, _make = _make, make
    return before
