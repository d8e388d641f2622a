"""Changing an index and committing it in one: both, or neither, and after the commits of others."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from simcse_kit.errors import IndexChangedError
from simcse_kit.search.base import BaseCollection

_TRIES = 5  # of a commit, where others commit at the same time
Result = TypeVar("Result")


def commit_change(collection: BaseCollection, change: Callable[[BaseCollection], Result]) -> Result:
    """Make a change and save it where the collection has a folder; returns what ``change`` returns.

    ``change`` gets a writer that is as the last commit, and is called again where somebody else commits in between.
    The collection is without the change until the end, and for good where anything fails.

    Raises:
        IndexChangedError: the index is of another model by now, or others commit all the time.
        SearchIndexError, DiskFullError: as of ``change`` and `BaseCollection.save`.
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
