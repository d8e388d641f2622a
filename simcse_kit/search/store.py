"""An index folder as it is read: one manifest that names the files of one commit.

Files never change once they are written, so a reader keeps what it has opened; `commits` writes.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simcse_kit.errors import DamagedIndexError, NoIndexError, SearchIndexError
from simcse_kit.files import read_json
from simcse_kit.search.blocks import BlockFile, checksum, seal

MANIFEST = "manifest.json"
FORMAT = "simcse_kit.index"
FORMAT_VERSION = 3
_FORMATS = (FORMAT, "simcse_kit.index.sentence_index")  # the second was written between 0.1.0 and 0.2.0
_OLDEST = 2  # of 0.1.0: without tables behind rows, without settings for more than 10 hits
_CHECKED_AT_ONCE = 1 << 24  # bytes of a file of rows that is checked when it is opened
_OPTIONAL = ("keywords", "fields", "source", "identity", "commit")  # of the manifest: 0.1.0 wrote none


@dataclass(frozen=True)
class FileEntry:
    """A file of a commit."""

    name: str
    bytes: int  # of its content, without the table
    checksum: str  # xxh3 of its table
    whole: bool = False  # as 0.1.0 wrote rows: there is no table, and the checksum is of the whole file


@dataclass(frozen=True, kw_only=True)
class SegmentEntry:
    """Rows that were written together, and with them the numbers of rows that were deleted."""

    start: int  # number of the first row
    count: int
    deleted: int
    vectors: FileEntry | None  # block file of (count, dimension) float32; None where there are no rows
    rows: FileEntry  # block file of SQLite

    def files(self) -> Iterator[FileEntry]:
        """Those that it names."""
        yield from ([self.vectors] if self.vectors is not None else [])
        yield self.rows


@dataclass(frozen=True, kw_only=True)
class Searched:
    """What finds candidates among the first ``rows`` rows, and how well."""

    kind: str
    rows: int
    effort: int
    candidates: int
    recall: float  # of the 10 nearest
    queries: int  # that the recall was measured with
    given: bool = False  # the queries were the user's; otherwise they are rows


@dataclass(frozen=True, kw_only=True)
class ForMore:
    """What finds up to ``k`` hits, where these are more than 10."""

    k: int
    effort: int
    candidates: int
    recall: float  # of the ``k`` nearest


@dataclass(frozen=True, kw_only=True)
class StructureEntry(Searched):
    """The same, in a block file."""

    file: FileEntry
    more: tuple[ForMore, ...] | None = None  # by ``k``; for others every vector is compared. None: 0.1.0 measured none


@dataclass(frozen=True, kw_only=True)
class KeywordEntry:
    """How rows are found by their words."""

    words: int  # version of the rules of words


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What an index folder holds; ``model`` is the index's own business (name, pooling, fingerprint)."""

    generation: int  # commits so far
    dimension: int
    count: int
    next_id: int  # the first integer that was never an id
    id_type: str  # "int" or "str"
    metric: str  # "cosine": inner product on unit vectors
    kind: str
    target_recall: float
    model: dict[str, Any]
    segments: tuple[SegmentEntry, ...]
    structure: StructureEntry | None
    keywords: KeywordEntry | None = None  # None: rows have no tables of their words
    fields: dict[str, str] | None = None  # types of the metadata; None: written before they were kept
    source: dict[str, Any] | None = None  # how files become rows; None: not known
    identity: str | None = None  # of the index, at random: its files have it in their names; None: 0.1.0's
    commit: str = ""  # of this commit, at random; of 0.1.0's the checksum

    def files(self) -> Iterator[FileEntry]:
        """Every file that it names."""
        for segment in self.segments:
            yield from segment.files()
        if self.structure is not None:
            yield self.structure.file


def is_file(place: Path) -> bool:
    """Whether there is a file where an index may be; a place that cannot be is an error."""
    try:
        return place.is_file()
    except OSError as error:  # a name is too long
        raise SearchIndexError(f"{place} cannot be an index: {error.strerror}") from error


def read_manifest(folder: Path) -> Manifest:
    """The last commit of a folder; what is not an index, damaged, or newer than this code, is an error by name."""
    path = folder / MANIFEST
    if is_file(folder):
        raise SearchIndexError(f"{folder} is a file; an index is a folder, made with: simcse-kit index build")
    try:
        values = read_json(path, SearchIndexError)
    except SearchIndexError as error:
        if path.is_file():
            raise
        what = "is not an index folder (no manifest.json)" if folder.is_dir() else "does not exist"
        raise NoIndexError(f"{folder} {what}; make one with: simcse-kit index build MODEL FILE {folder}") from error
    if not isinstance(values, dict) or values.get("format") not in _FORMATS:
        raise SearchIndexError(f"{path} is not the manifest of an index")
    try:
        version = int(values["format_version"])
        if not _OLDEST <= version <= FORMAT_VERSION:
            newer = version > FORMAT_VERSION
            raise SearchIndexError(
                f"{folder} was written by {'a newer' if newer else 'an older'} simcse_kit (format {version}, this one "
                f"reads {_OLDEST} to {FORMAT_VERSION}); {'update simcse_kit' if newer else 'build the index again'}"
            )
        if values["checksum"] != own_checksum(values):
            raise DamagedIndexError(f"{path} is damaged: its content is not what its checksum says")
        return _manifest(values)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        if isinstance(error, SearchIndexError):
            raise
        raise DamagedIndexError(f"{path} is damaged: {error!r}") from error


def _manifest(values: dict[str, Any]) -> Manifest:
    old = values["format_version"] == _OLDEST

    def file(entry: dict[str, Any], **more: Any) -> FileEntry:
        made = FileEntry(**entry | more)
        if made.name != Path(made.name).name:
            raise ValueError(f"{made.name} is no file of this folder")
        return made

    def segment(entry: dict[str, Any]) -> SegmentEntry:
        vectors = entry["vectors"]
        rows = file(entry["rows"], whole=True) if old else file(entry["rows"])
        return SegmentEntry(**entry | {"vectors": vectors and file(vectors), "rows": rows})

    def described(entry: dict[str, Any]) -> StructureEntry:
        more = entry.get("more")
        more = None if more is None else tuple(ForMore(**one) for one in more)
        return StructureEntry(**entry | {"file": file(entry["file"]), "more": more})

    given = {name: values[name] for name in Manifest.__dataclass_fields__ if name not in _OPTIONAL}
    given |= {name: values.get(name) for name in _OPTIONAL}
    given["commit"] = given["commit"] or values["checksum"]
    if given["identity"] is not None and not re.fullmatch("[0-9a-f]{16}", given["identity"]):
        raise ValueError(f"{given['identity']!r} is no identity")
    for name in ("generation", "dimension", "count", "next_id"):
        if not isinstance(given[name], int):
            raise TypeError(f"{name} is no integer")
    structure, keywords = given["structure"], given["keywords"]
    return Manifest(
        **given
        | {
            "segments": tuple(map(segment, given["segments"])),
            "structure": structure and described(structure),
            "keywords": keywords and KeywordEntry(**keywords),
        }
    )


def stamp_of(manifest: Path | str, within: int | None = None) -> tuple[int, ...] | None:
    """What changes with every commit, without reading it; None: there is none. ``within``: descriptor of its folder."""
    try:
        found = os.stat(manifest, dir_fd=within)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def own_checksum(values: dict[str, Any]) -> str:
    rest = {name: value for name, value in values.items() if name != "checksum"}
    return checksum(json.dumps(rest, sort_keys=True).encode())


def open_file(folder: Path, entry: FileEntry) -> BlockFile:
    """A file, mapped; it is there, and its length and table are the manifest's."""
    path = folder / entry.name
    try:
        return (BlockFile.open_whole if entry.whole else BlockFile.open)(path, entry.bytes, entry.checksum)
    except FileNotFoundError as error:
        raise DamagedIndexError(f"{path} is missing, and the manifest names it") from error


def open_row_file(folder: Path, entry: FileEntry) -> BlockFile:
    """A file of rows, which is all checked where it is not large."""
    file = open_file(folder, entry)
    if entry.bytes <= _CHECKED_AT_ONCE:
        file.verify()
    return file


def sealed(path: Path) -> FileEntry:
    """A new file as the entry of a manifest: it becomes a block file."""
    size, table = seal(path)
    return FileEntry(path.name, size, table)
