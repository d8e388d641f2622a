"""Reading an index folder: one manifest that names the files of one commit.

Files never change once written, so a reader keeps what it has opened; `commits` writes.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simcse_kit.errors import DamagedIndexError, NoIndexError, SearchIndexError
from simcse_kit.files import read_json
from simcse_kit.search.blocks import BlockFile, checksum, seal

MANIFEST = "manifest.json"
FORMAT = "simcse_kit.index"
FORMAT_VERSION = 3
_FORMATS = (FORMAT, "simcse_kit.index.sentence_index")  # version 2 was written between 0.1.0 and 0.2.0
_OLDEST = 2  # version of 0.1.0: no tables in row files, no settings for more than 10 hits
_CHECKED_AT_ONCE = 1 << 24  # row files up to this many bytes are checked at opening
_OPTIONAL = ("keywords", "fields", "source", "identity", "commit")  # of the manifest; 0.1.0 wrote none


@dataclass(frozen=True)
class FileEntry:
    """A file of a commit."""

    name: str
    bytes: int  # size of its content, without the table
    checksum: str  # xxh3 of its table
    whole: bool = False  # row file of 0.1.0: no table; the checksum covers the whole file


@dataclass(frozen=True, kw_only=True)
class SegmentEntry:
    """Rows that were written together, and the numbers of rows deleted with them."""

    start: int  # number of the first row
    count: int
    deleted: int
    vectors: FileEntry | None  # block file of (count, dimension) float32; None if there are no rows
    rows: FileEntry  # block file of SQLite

    def files(self) -> Iterator[FileEntry]:
        """Names of its files."""
        yield from ([self.vectors] if self.vectors is not None else [])
        yield self.rows


@dataclass(frozen=True, kw_only=True)
class Searched:
    """Structure that finds candidates among the first ``rows`` rows, with its recall."""

    kind: str
    rows: int
    effort: int
    candidates: int
    recall: float  # of the 10 nearest
    queries: int  # number of queries behind the recall
    given: bool = False  # the queries were the user's; otherwise rows


@dataclass(frozen=True, kw_only=True)
class ForMore:
    """Search settings for up to ``k`` hits, for more than 10."""

    k: int
    effort: int
    candidates: int
    recall: float  # of the ``k`` nearest


@dataclass(frozen=True, kw_only=True)
class StructureEntry(Searched):
    """A structure in a block file."""

    file: FileEntry
    more: tuple[ForMore, ...] | None = None  # by ``k``; for other k every vector is compared. None: 0.1.0 measured none


@dataclass(frozen=True, kw_only=True)
class KeywordEntry:
    """Keyword settings of the rows."""

    words: int  # version of the rules for words


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """Content of an index folder; ``model`` belongs to the index (name, pooling, fingerprint)."""

    generation: int  # number of commits
    dimension: int
    count: int
    next_id: int  # next integer id; larger than any id so far
    id_type: str  # "int" or "str"
    metric: str  # "cosine": inner product on unit vectors
    kind: str
    target_recall: float
    model: dict[str, Any]
    segments: tuple[SegmentEntry, ...]
    structure: StructureEntry | None
    keywords: KeywordEntry | None = None  # None: no keyword tables
    fields: dict[str, str] | None = None  # types of the metadata fields; None: written before they were recorded
    source: dict[str, Any] | None = None  # how files become rows; None: unknown
    identity: str | None = None  # random id of the index, part of its file names; None: 0.1.0
    commit: str = ""  # random id of this commit; for 0.1.0 the checksum

    def files(self) -> Iterator[FileEntry]:
        """Every file that the manifest names."""
        for segment in self.segments:
            yield from segment.files()
        if self.structure is not None:
            yield self.structure.file


def is_file(place: Path) -> bool:
    """Whether an index may have a file at this path. Raises an error if the path cannot hold an index."""
    try:
        return place.is_file()
    except OSError as error:  # a name is too long
        raise SearchIndexError(f"{place} cannot hold an index: {error.strerror}") from error


def index_below(folder: Path) -> Path | None:
    """The first index among the folders in a folder."""
    for path in sorted(folder.glob(f"*/{MANIFEST}")):
        with suppress(SearchIndexError):
            if read_json(path, SearchIndexError).get("format") in _FORMATS:
                return path.parent
    return None


def read_manifest(folder: Path) -> Manifest:
    """The last commit of a folder. Raises an error if it is missing, damaged, or newer than this code."""
    path = folder / MANIFEST
    if is_file(folder):
        raise SearchIndexError(f"{folder} is a file; an index is a folder, made with: simcse-kit index build")
    try:
        values = read_json(path, SearchIndexError)
    except SearchIndexError as error:
        if path.is_file():
            raise
        if not folder.is_dir():
            said = f"{folder} does not exist; make one with: simcse-kit index build MODEL FILE {folder}"
        elif below := index_below(folder):
            said = f"{folder} is not an index folder (no manifest.json); did you mean {below}?"
        else:
            said = (
                f"{folder} is not an index folder (no manifest.json); make one with: simcse-kit index build MODEL "
                "FILE INDEX"
            )
        raise NoIndexError(said) from error
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
            raise DamagedIndexError(f"{path} is damaged: its content does not match its checksum")
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
            raise ValueError(f"{made.name} is not a file of this folder")
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
        raise ValueError(f"{given['identity']!r} is not an identity")
    for name in ("generation", "dimension", "count", "next_id"):
        if not isinstance(given[name], int):
            raise TypeError(f"{name} is not an integer")
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
    """Changes with every commit; does not read it. None: no manifest. ``within``: descriptor of the folder."""
    try:
        found = os.stat(manifest, dir_fd=within)
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size


def own_checksum(values: dict[str, Any]) -> str:
    rest = {name: value for name, value in values.items() if name != "checksum"}
    return checksum(json.dumps(rest, sort_keys=True).encode())


def open_file(folder: Path, entry: FileEntry) -> BlockFile:
    """Map a file. Checks that it exists, and that length and table match the manifest."""
    path = folder / entry.name
    try:
        return (BlockFile.open_whole if entry.whole else BlockFile.open)(path, entry.bytes, entry.checksum)
    except FileNotFoundError as error:
        raise DamagedIndexError(f"{path} is missing, but the manifest names it") from error


def open_row_file(folder: Path, entry: FileEntry) -> BlockFile:
    """Map a file of rows; small files are checked completely."""
    file = open_file(folder, entry)
    if entry.bytes <= _CHECKED_AT_ONCE:
        file.verify()
    return file


def sealed(path: Path) -> FileEntry:
    """Turn a new file into a block file; returns its manifest entry."""
    size, table = seal(path)
    return FileEntry(path.name, size, table)
