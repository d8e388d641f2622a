"""Change an index and commit in one step: both or neither, after the commits of other writers."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from simcse_kit.errors import IndexChangedError
from simcse_kit.search.base import BaseCollection

_TRIES = 5  # commit attempts while other writers commit
Result = TypeVar("Result")


def commit_change(collection: BaseCollection, change: Callable[[BaseCollection], Result]) -> Result:
    """Make a change and save it if the collection has a folder; returns the result of ``change``.

    ``change`` gets a writer with the state of the last commit; it is called again if another process commits meanwhile.
    The collection gets the change only at the end; if anything fails, it stays unchanged.

    Raises:
        IndexChangedError: the index now belongs to another model, or others commit all the time.
        SearchIndexError, DiskFullError: errors of ``change`` and `BaseCollection.save`.
    """
    for _ in range(_TRIES - 1):
        with suppress(IndexChangedError):
            return _commit_once(collection, change)
    return _commit_once(collection, change)


def _commit_once(collection: BaseCollection, change: Callable[[BaseCollection], Result]) -> Result:
    writer = collection.fork()
    writer.refresh()
    result = change(writer)
    if collection.folder is not None:
        try:
            writer.save(structure=False)
        except BaseException:
            writer.abandon()
            raise
    collection.adopt(writer)
    return result
