"""Progress bars for building a search structure: training, adding, tuning."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from simcse_kit.bars import tqdm

_shown: ContextVar[bool] = ContextVar("_shown", default=False)
_SECOND = 1.0
_CLOCK = "{desc}: {elapsed}"  # for a bar without a known end


@contextmanager
def making_shown(show: bool) -> Iterator[None]:
    """Whether this block shows bars for the structures it builds."""
    token = _shown.set(show)
    try:
        yield
    finally:
        _shown.reset(token)


@contextmanager
def making(what: str, total: int | None = None, unit: str = "row") -> Iterator[Callable[[int], object]]:
    """A bar for one part of the work, and the function that moves it. A clock if ``total`` is None; no bar if it is 0.

    FAISS reports no progress while it trains, so the clock of every bar is updated each second.
    """
    if not _shown.get() or total == 0:
        yield lambda count: None
        return
    ended = threading.Event()
    with tqdm(total=total, desc=what, unit=unit, bar_format=None if total else _CLOCK) as progress:

        def tick() -> None:
            while not ended.wait(_SECOND):
                progress.refresh()

        clock = threading.Thread(target=tick, daemon=True)
        clock.start()
        try:
            yield progress.update
        finally:
            ended.set()
            clock.join()
