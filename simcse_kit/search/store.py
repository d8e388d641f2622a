"""An index folder: one manifest that names the files of one commit.

A commit writes new files beside the old ones, flushes them, and then replaces ``manifest.json`` by a rename; until that
instant the folder is the old commit, from it on the new one. The old files go last.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from simcse_kit.errors import SearchIndexError
from simcse_kit.files import disk_full_named, read_json, sync, write_json

MANIFEST = "manifest.json"
FORMAT = "simcse_kit.index"
FORMAT_VERSION = 1


@dataclass(frozen=True)
class FileEntry:
    """A file of a commit."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What an index folder holds; ``model`` is the index's own business (name, pooling, fingerprint)."""

    generation: int  # commits so far
    dimension: int
    count: int
    id_type: str  # "int" or "str"
    metric: str  # "cosine": inner product on unit vectors
    model: dict[str, Any]
    files: dict[str, FileEntry]


def read_manifest(folder: Path) -> Manifest:
    """The last commit of a folder; what is not an index, or newer than this code, is an error by name."""
    path = folder / MANIFEST
    if folder.is_file():
        raise SearchIndexError(f"{folder} is a file; an index is a folder, made with: simcse-kit index build")
    if not path.is_file():
        what = "is not an index folder (no manifest.json)" if folder.is_dir() else "does not exist"
        raise SearchIndexError(f"{folder} {what}; make one with: simcse-kit index build MODEL FILE {folder}")
    values = read_json(path, SearchIndexError)
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise SearchIndexError(f"{path} is not the manifest of an index")
    try:
        if int(values["format_version"]) > FORMAT_VERSION:
            raise SearchIndexError(
                f"{folder} was written by a newer simcse_kit (format {values['format_version']}, this one reads "
                f"{FORMAT_VERSION}); update simcse_kit"
            )
        return Manifest(
            generation=int(values["generation"]),
            dimension=int(values["dimension"]),
            count=int(values["count"]),
            id_type=str(values["id_type"]),
            metric=str(values["metric"]),
            model=dict(values["model"]),
            files={role: FileEntry(**entry) for role, entry in values["files"].items()},
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, SearchIndexError):
            raise
        raise SearchIndexError(f"{path} is damaged: {error!r}") from error


def checked_file(folder: Path, manifest: Manifest, role: str) -> Path:
    """Path of a commit's file; one that is missing or differs from its checksum is an error by name."""
    entry = manifest.files.get(role)
    if entry is None or entry.name != Path(entry.name).name:
        raise SearchIndexError(f"{folder / MANIFEST} is damaged: it names no file of this folder for {role}")
    path = folder / entry.name
    if not path.is_file():
        raise SearchIndexError(f"{path} is missing, and the manifest names it")
    if path.stat().st_size != entry.bytes:
        raise SearchIndexError(f"{path} is damaged: {path.stat().st_size} bytes, the manifest says {entry.bytes}")
    if _sha256(path) != entry.sha256:
        raise SearchIndexError(f"{path} is damaged: its sha256 is not the manifest's")
    return path


@contextlib.contextmanager
def one_writer(folder: Path) -> Iterator[None]:
    """Make the folder where it is missing, and let other writers wait; a reader needs no lock."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)  # ends with the process, however that ends
        yield
    finally:
        os.close(descriptor)


def commit(folder: Path, manifest: Manifest, writers: dict[str, Callable[[Path], None]]) -> Manifest:
    """Write the files (``writers`` by name, e.g. ``vectors.faiss``) and make them the folder's at one instant.

    The folder exists, and `one_writer` is held.
    """
    files: dict[str, FileEntry] = {}
    try:
        with disk_full_named(folder):
            for role, write in writers.items():
                stem, _, suffix = role.partition(".")
                path = folder / f"{stem}-{manifest.generation:06d}.{suffix}"
                write(path)
                sync(path)
                files[stem] = FileEntry(path.name, path.stat().st_size, _sha256(path))
            done = replace(manifest, files=files)
            aside = folder / (MANIFEST + ".new")
            write_json(aside, {"format": FORMAT, "format_version": FORMAT_VERSION} | asdict(done))
            sync(aside)
            sync(folder)
            os.replace(aside, folder / MANIFEST)
            sync(folder)
    finally:
        _clear(folder, [MANIFEST, *(role.partition(".")[0] for role in writers)])
    return done


def _clear(folder: Path, stems: list[str]) -> None:
    """Remove the files of this kind that the manifest on disk does not name: the old commit's, or a failed one's."""
    current = {MANIFEST}
    if (folder / MANIFEST).is_file():
        current |= {entry.name for entry in read_manifest(folder).files.values()}
    for path in folder.iterdir():
        if path.name not in current and path.name.startswith(tuple(f"{stem}{mark}" for stem in stems for mark in "-.")):
            with contextlib.suppress(OSError):
                path.unlink()


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
