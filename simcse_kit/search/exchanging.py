"""Replace the rows and the model of an index by those of another, in one commit."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace

from simcse_kit.errors import IndexChangedError
from simcse_kit.search.collection import Collection
from simcse_kit.search.commits import NewCommit, committing, last_commit, one_writer
from simcse_kit.search.store import FileEntry


def exchange_rows(old: Collection, made: Collection, follow: Callable[[], None]) -> None:
    """Commit ``made``, which is compacted, in place of ``old``. Its files move; afterwards it is the index at that
    address.

    ``follow`` is called if another process has committed since ``old`` was read: it applies the changes to ``made``
    while commits are locked.
    """
    target = old.folder
    assert target is not None
    with one_writer(target, opened=True) as descriptor:
        if old.refresh():
            follow()
        before, snapshot = last_commit(target, old._snapshot.commit), old._snapshot
        made._snapshot = replace(
            made._snapshot,
            next_id=max(snapshot.next_id, made._snapshot.next_id),
            fields=made.fields if snapshot.fields is None else snapshot.fields,
            source=snapshot.source,
        )
        (segment,), described = made._content.segments, made._content.described
        with committing(target, descriptor, before) as new:
            entry = segment.entry
            entry = replace(
                entry,
                vectors=entry.vectors and _moved(made, entry.vectors, new, "vectors"),
                rows=_moved(made, entry.rows, new, "rows"),
            )
            described = described and replace(described, file=_moved(made, described.file, new, "structure"))
            made._commit(new, [entry], described, 0, made.keywords)


def _moved(made: Collection, file: FileEntry, new: NewCommit, stem: str) -> FileEntry:
    assert made.folder is not None
    target = new.path(stem)
    try:
        shutil.move(made.folder / file.name, target)  # a copy, if the folder is a mount of its own
    except FileNotFoundError as error:
        raise IndexChangedError(f"another process removed {made.folder}; rebuild again") from error
    return replace(file, name=target.name)
