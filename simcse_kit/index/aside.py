"""A folder beside an index, in which another index is built."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from simcse_kit.errors import SearchIndexError
from simcse_kit.files import at_work, make_folder, owned
from simcse_kit.search.store import is_file


@contextmanager
def aside(target: Path) -> Iterator[Path]:
    """A folder beside ``target`` to build in, locked for this process; removes leftovers of a killed build."""
    work = target.parent / f".{target.name}.building"
    is_file(work)  # raises an error if its name is too long
    make_folder(target.parent)

    def busy(who: str) -> SearchIndexError:
        return SearchIndexError(f"{target} is being built by {who}; wait for its end, or name another folder")

    with owned(work, busy):
        try:
            _empty(work)
            yield work / "index"
        finally:
            _empty(work)
    with suppress(OSError):  # the next build has started
        work.rmdir()


def _empty(work: Path) -> None:
    for path in work.iterdir():
        if not at_work(path):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
