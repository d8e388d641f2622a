"""Commits to an index folder, by one writer at a time. They change only files of the index itself.

A commit writes new files beside the old ones, flushes them, and then replaces ``manifest.json`` by a rename. Until that
instant the folder holds the old commit, afterwards the new one. Files of the old commit only are removed last.

Every file name contains the random identity of its index, which the manifest holds. Before the first manifest, an empty
file carries it in its name; it is flushed before anything else is written (`_INTENT`). So leftovers of a killed commit
are recognised, and a user's own files in the folder are not touched. File names are new: nothing is written through a
link.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import re
import secrets
from collections.abc import Iterator
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import NamedTuple

from simcse_kit.errors import IndexChangedError, SearchIndexError
from simcse_kit.files import changing, disk_full_named, leads_to, make_folder, sync
from simcse_kit.search.store import FORMAT, FORMAT_VERSION, MANIFEST, Manifest, own_checksum, read_manifest

_SUFFIXES = {"vectors": "f32", "rows": "sqlite", "structure": "faiss", "manifest": "json"}
_NAME = re.compile(rf"({'|'.join(_SUFFIXES)})-\d{{6,}}-(?P<identity>[0-9a-f]{{16}})\.({'|'.join(_SUFFIXES.values())})")
_INTENT = ".writing-{}"  # its identity is in no manifest yet


class NewCommit(NamedTuple):
    """A commit in progress."""

    folder: Path
    descriptor: int  # of the locked folder: its path may come to name another folder
    generation: int
    identity: str  # of the index
    id: str

    def path(self, stem: str) -> Path:
        """Path of a new file of the commit; ``stem`` is a key of `_SUFFIXES`."""
        return self.folder / f"{stem}-{self.generation:06d}-{self.identity}.{_SUFFIXES[stem]}"

    def copied(self, name: str) -> Path:
        """Path for a copy of another index's file, under this index's identity."""
        stem, generation = name.partition(".")[0].split("-")[:2]
        return self.folder / f"{stem}-{generation}-{self.identity}.{_SUFFIXES[stem]}"


@contextlib.contextmanager
def one_writer(folder: Path, *, opened: bool) -> Iterator[int]:
    """Wait for other writers, then lock the folder; creates it unless it was ``opened``. Gives its descriptor.

    Readers need no lock.

    Raises:
        IndexChangedError: it was opened and no longer exists, or another process removed it or files of it meanwhile.
        SearchIndexError: it cannot be created.
    """
    with disk_full_named(folder):
        try:
            if not opened:
                make_folder(folder)
            holding = contextlib.ExitStack()
            descriptor = holding.enter_context(changing(folder))
        except FileNotFoundError as error:
            raise IndexChangedError(f"{folder} was removed since it was opened; save to another place") from error
        except (FileExistsError, NotADirectoryError, PermissionError) as error:
            raise SearchIndexError(f"{folder} cannot hold an index: {error.strerror}") from error
    with holding:
        try:
            yield descriptor
        except (OSError, SearchIndexError) as error:
            if isinstance(error, IndexChangedError) or not _removed(folder, descriptor, error, opened=opened):
                raise
            raise IndexChangedError(f"another process removed {folder} during the write") from error


def _removed(folder: Path, descriptor: int, error: Exception, *, opened: bool) -> bool:
    """Whether a locked folder was removed or is being removed: no other process may delete its files."""
    if isinstance(error, FileNotFoundError) or not leads_to(folder, descriptor):
        return True
    return opened and not (folder / MANIFEST).exists()


def last_commit(folder: Path, opened: str | None) -> Manifest | None:
    """The commit that a writer replaces, which must be the one it ``opened`` (by id); None before the first.

    Raises:
        IndexChangedError: another commit is there, or the index was removed.
        SearchIndexError: an index that was not opened, or other files.
    """
    if (folder / MANIFEST).exists():
        if opened is None:
            raise SearchIndexError(f"{folder} already holds an index; open it and add to it, or choose another folder")
        found = read_manifest(folder)
        if found.commit != opened:
            raise IndexChangedError(
                f"another process changed {folder} since it was opened (commit {found.commit}, number "
                f"{found.generation}; opened at {opened}); open it again"
            )
        return found
    if opened is not None:
        raise IndexChangedError(f"{folder} no longer holds an index; another process removed it since it was opened")
    clear(folder)  # left by a first save that was killed
    if there := sorted(path.name for path in folder.iterdir()):
        raise SearchIndexError(
            f"{folder} is not empty and holds no index; choose another folder (it contains "
            f"{', '.join(there[:3])}{', ...' if len(there) > 3 else ''})"
        )
    return None


@contextlib.contextmanager
def committing(folder: Path, descriptor: int, before: Manifest | None, generation: int = 0) -> Iterator[NewCommit]:
    """Context for writing files and calling `commit`. ``before`` is the last commit; ``descriptor`` comes from
    `one_writer`.

    ``generation``: of the index that a first commit copies; copied files keep their numbers.

    A full disk raises an error that names the folder. At the end, files of the index that are not in its manifest are
    removed.
    """
    clear(folder)
    identity = None if before is None else before.identity
    with disk_full_named(folder):
        try:
            if identity is None:
                identity = secrets.token_hex(8)
                (folder / _INTENT.format(identity)).touch(exist_ok=False)
                sync(folder)
            generation = generation if before is None else before.generation
            yield NewCommit(folder, descriptor, generation + 1, identity, secrets.token_hex(8))
        finally:
            with contextlib.suppress(FileNotFoundError):
                clear(folder, before)


def commit(new: NewCommit, manifest: Manifest) -> None:
    """Make the written files the folder's content at one instant."""
    for entry in manifest.files():
        if f"-{new.generation:06d}-" in entry.name:
            sync(new.folder / entry.name)
    values = {"format": FORMAT, "format_version": FORMAT_VERSION} | asdict(manifest)
    values = json.loads(json.dumps(values))  # as JSON returns it: tuples become lists
    aside, within = new.path("manifest").name, new.descriptor
    with open(aside, "x", encoding="utf-8", opener=partial(os.open, dir_fd=within, mode=0o666)) as file:
        json.dump(values | {"checksum": own_checksum(values)}, file, indent=2, ensure_ascii=False)
        file.flush()
        os.fsync(file.fileno())
    os.fsync(within)
    if not leads_to(new.folder, within):
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(new.folder))
    os.replace(aside, MANIFEST, src_dir_fd=within, dst_dir_fd=within)
    os.fsync(within)


def clear(folder: Path, before: Manifest | None = None) -> None:
    """Remove files of the index that are not in its manifest: leftovers of failed commits, and those of ``before``.

    The caller holds `one_writer`.
    """
    current: Manifest | None = None
    if (folder / MANIFEST).exists():
        try:
            current = read_manifest(folder)
        except SearchIndexError:
            return  # opening it raises an error
    kept = set() if current is None else {entry.name for entry in current.files()}
    names = {path.name for path in folder.iterdir()}
    intents = [name for name in names if _is_intent(folder / name)]
    identities = {name.removeprefix(_INTENT.format("")) for name in intents}
    identities |= {one.identity for one in (current, before) if one is not None and one.identity is not None}
    gone = {name for name in names if (found := _NAME.fullmatch(name)) and found["identity"] in identities}
    if before is not None:
        gone |= {entry.name for entry in before.files()}
    for name in (*sorted(gone - kept), *intents):
        with contextlib.suppress(OSError):
            (folder / name).unlink(missing_ok=True)


def _is_intent(path: Path) -> bool:
    """Whether a writer has declared here what it would write: an empty file, not a link."""
    return bool(re.fullmatch(re.escape(_INTENT.format("")) + "[0-9a-f]{16}", path.name)) and (
        path.is_file() and not path.is_symlink() and not path.stat().st_size
    )
