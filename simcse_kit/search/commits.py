"""Commits to an index folder, one writer at a time, which touch no file but the index's own.

A commit writes new files beside the old ones, flushes them, and then replaces ``manifest.json`` by a rename; until that
instant the folder is the old commit, from it on the new one. What only the old one named goes last.

Every file has the random identity of its index in its name, which the manifest holds. Before there is a manifest with
one, an empty file has it in its name, flushed before anything is written (`_INTENT`). So what a killed commit leaves is
known, and what a user keeps in the folder is not touched. Files are made under names that were not there: nothing is
written through a link.
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
_INTENT = ".writing-{}"  # of an identity that no manifest holds yet


class NewCommit(NamedTuple):
    """A commit that is being written."""

    folder: Path
    descriptor: int  # of the folder that is locked: another one may come into its place
    generation: int
    identity: str  # of the index
    id: str

    def path(self, stem: str) -> Path:
        """Where a file of it goes, which is not there yet; ``stem`` is a key of `_SUFFIXES`."""
        return self.folder / f"{stem}-{self.generation:06d}-{self.identity}.{_SUFFIXES[stem]}"

    def copied(self, name: str) -> Path:
        """Where a copy of another index's file goes: its identity is this one's."""
        stem, generation = name.partition(".")[0].split("-")[:2]
        return self.folder / f"{stem}-{generation}-{self.identity}.{_SUFFIXES[stem]}"


@contextlib.contextmanager
def one_writer(folder: Path, *, opened: bool) -> Iterator[int]:
    """Wait for other writers, and keep the folder, which is made unless it was ``opened``; its descriptor.

    A reader needs no lock.

    Raises:
        IndexChangedError: it was opened and is not there any more, or somebody removed it, or files of it, meanwhile.
        SearchIndexError: it cannot be made.
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
            raise SearchIndexError(f"{folder} cannot be an index: {error.strerror}") from error
    with holding:
        try:
            yield descriptor
        except (OSError, SearchIndexError) as error:
            if isinstance(error, IndexChangedError) or not _removed(folder, descriptor, error, opened=opened):
                raise
            raise IndexChangedError(f"{folder} was removed by somebody else while it was written") from error


def _removed(folder: Path, descriptor: int, error: Exception, *, opened: bool) -> bool:
    """Whether a folder that is locked was removed, or is being removed: nobody else may take files away."""
    if isinstance(error, FileNotFoundError) or not leads_to(folder, descriptor):
        return True
    return opened and not (folder / MANIFEST).exists()


def last_commit(folder: Path, opened: str | None) -> Manifest | None:
    """The commit that a writer replaces: the one that it ``opened``, by its id; None before the first.

    Raises:
        IndexChangedError: another commit is there, or none any more.
        SearchIndexError: an index that was not opened, or files of something else.
    """
    if (folder / MANIFEST).exists():
        if opened is None:
            raise SearchIndexError(f"{folder} already holds an index; open it and add to it, or choose another folder")
        found = read_manifest(folder)
        if found.commit != opened:
            raise IndexChangedError(
                f"{folder} was changed by somebody else since it was opened (commit {found.commit}, number "
                f"{found.generation}; opened at {opened}); open it again"
            )
        return found
    if opened is not None:
        raise IndexChangedError(f"{folder} holds no index any more; somebody removed it since it was opened")
    clear(folder)  # of a first save that was killed
    if there := sorted(path.name for path in folder.iterdir()):
        raise SearchIndexError(
            f"{folder} is not empty and not an index; choose another folder (it holds {', '.join(there[:3])}"
            f"{', ...' if len(there) > 3 else ''})"
        )
    return None


@contextlib.contextmanager
def committing(folder: Path, descriptor: int, before: Manifest | None, generation: int = 0) -> Iterator[NewCommit]:
    """Around the writing of files and `commit`, where ``before`` is the last one; ``descriptor`` of `one_writer`.

    ``generation``: of the index that a first commit copies; its files keep their numbers.

    A full disk has its name, and files of the index that its manifest does not name are removed.
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
    """Make files that are written the folder's at one instant."""
    for entry in manifest.files():
        if f"-{new.generation:06d}-" in entry.name:
            sync(new.folder / entry.name)
    values = {"format": FORMAT, "format_version": FORMAT_VERSION} | asdict(manifest)
    values = json.loads(json.dumps(values))  # as it will be read: tuples become lists
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
    """Remove the index's files that its manifest does not name: of commits that failed or were killed, and ``before``.

    `one_writer` is held.
    """
    current: Manifest | None = None
    if (folder / MANIFEST).exists():
        try:
            current = read_manifest(folder)
        except SearchIndexError:
            return  # opening it is an error by name
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
    """Whether a writer has said here what it would write: an empty file, no link."""
    return bool(re.fullmatch(re.escape(_INTENT.format("")) + "[0-9a-f]{16}", path.name)) and (
        path.is_file() and not path.is_symlink() and not path.stat().st_size
    )
