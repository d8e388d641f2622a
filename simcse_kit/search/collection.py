"""Vectors with their ids, texts and metadata: searched by cosine, changed in memory, committed to a folder."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simcse_kit.errors import SearchIndexError, say_once
from simcse_kit.files import sync
from simcse_kit.search.blocks import seal
from simcse_kit.search.checks import as_json, check_threshold, checked_ids, normalized, unit_vectors
from simcse_kit.search.content import Content
from simcse_kit.search.filters import parse_filter
from simcse_kit.search.rows import Id, Metadata, Row
from simcse_kit.search.segments import compacted, open_segment, to_merge, write_segment
from simcse_kit.search.store import (
    MANIFEST,
    FileEntry,
    Manifest,
    SegmentEntry,
    StructureEntry,
    commit,
    committing,
    file_name,
    one_writer,
    read_manifest,
)
from simcse_kit.search.structure import AUTO_FLAT, TARGET_RECALL, build_tuned, resolve_kind
from simcse_kit.search.vectors import Nearest, VectorParts, merged
from simcse_kit.types import Vectors


class Hit(NamedTuple):
    """One answer: what is stored, and the cosine with the query."""

    id: Id
    text: str
    score: float
    metadata: Metadata | None = None

    @classmethod
    def of(cls, row: Row, score: float) -> Hit:
        """A row that was found."""
        return cls(row.id, row.text, float(score), row.metadata)


@dataclass(frozen=True)
class Info:
    """What an index holds."""

    count: int
    deleted: int  # rows that `Collection.compact` would remove
    dimension: int
    kind: str  # as asked for
    structure: StructureEntry | None  # None: every search is exact
    unindexed: int  # rows behind the structure, which are compared one by one
    segments: int
    bytes: int  # on the disk, of the last commit
    generation: int
    model: dict[str, Any]


class Collection:
    """N texts with ids, metadata and unit vectors (N, D).

    `add`, `update` and `delete` change memory; `save` commits to a folder at one instant; `open` reads the last commit,
    whose vectors stay on the disk. Search is exact, or by a structure whose candidates are compared exactly (``kind``,
    see `KINDS`); it is made by the first `save` that is worth it and by `compact`.
    """

    def __init__(self, dimension: int, kind: str = "auto", target_recall: float = TARGET_RECALL) -> None:
        if not 0 < target_recall <= 1:
            raise SearchIndexError(f"target_recall is between 0 and 1; got {target_recall}")
        resolve_kind(kind, 0)
        self.dimension = dimension
        self.kind = kind
        self.target_recall = target_recall
        self.model: dict[str, Any] = {}  # what the owner wants to know about the model, kept in the manifest
        self._content = Content(dimension)
        self._next_id = 0
        self._id_type: type | None = None  # None: no row yet
        self._folder: Path | None = None
        self._generation = 0  # of the commit in `_folder` that this content started from
        self._seen: tuple[int, int] | None = None  # `_stamp` of that commit

    def __len__(self) -> int:
        return len(self._content)

    @property
    def folder(self) -> Path | None:
        """Where it was opened or saved last."""
        return self._folder

    @property
    def id_type(self) -> type | None:
        """What its ids are, int or str; None before the first."""
        return self._id_type

    def add(
        self,
        texts: Sequence[str],
        vectors: Vectors,
        ids: Sequence[Id] | None = None,
        metadata: Sequence[Mapping[str, Any] | None] | None = None,
    ) -> list[Id]:
        """Add N texts with vectors (N, D), of any length but zero, under new ids (None: integers that go on).

        Returns the ids.

        ``metadata``: a JSON object for each text, or None.

        Raises:
            SearchIndexError: an id that is taken, no integer or string, or not of the others' type; a wrong shape;
                metadata that is no JSON object. Nothing is added then.
        """
        unit = unit_vectors(texts, vectors, self.dimension)
        new = self._new_ids(len(texts), ids)
        if taken := self._taken(new):
            raise SearchIndexError(f"id {taken[0]!r} is taken; update changes what is there")
        self._add(texts, unit, new, as_json(metadata, len(texts)))
        return new

    def update(
        self,
        texts: Sequence[str],
        vectors: Vectors,
        ids: Sequence[Id],
        metadata: Sequence[Mapping[str, Any] | None] | None = None,
    ) -> None:
        """Put N texts, vectors and metadata in the place of those with these ids; all are as in `add`.

        Raises:
            SearchIndexError: an id that is not there, and what `add` refuses. Nothing is changed then.
        """
        unit = unit_vectors(texts, vectors, self.dimension)
        same, objects = self._new_ids(len(texts), ids), as_json(metadata, len(texts))
        numbers = self._numbers(same)
        self._content.delete(numbers)
        self._add(texts, unit, same, objects)

    def delete(self, ids: Sequence[Id] | None = None, *, filter: Mapping[str, Any] | None = None) -> int:
        """Delete the rows with these ids, or those whose metadata meet a filter; returns how many.

        Raises:
            SearchIndexError: an id that is not there, or a filter that cannot be read. Nothing is deleted then.
        """
        if (ids is None) == (filter is None):
            raise SearchIndexError("delete takes ids or a filter (filter), one of the two")
        if ids is not None:
            numbers = self._numbers(list(dict.fromkeys(ids)))
        else:
            numbers = np.flatnonzero(self._content.matching(parse_filter(filter or {}))).tolist()
        self._content.delete(numbers)
        return len(numbers)

    def _add(self, texts: Sequence[str], unit: Vectors, ids: list[Id], metadata: Sequence[str | None]) -> None:
        if len(texts):
            self._content.add(unit, ids, texts, metadata)
            self._id_type = type(ids[0])
            self._next_id = max(self._next_id, 1 + max((i for i in ids if isinstance(i, int)), default=-1))

    def _new_ids(self, count: int, ids: Sequence[Id] | None) -> list[Id]:
        if ids is None:
            if self._id_type is str:
                raise SearchIndexError("this index has string ids; name the ids of what is added")
            return list(range(self._next_id, self._next_id + count))
        if len(ids) != count:
            raise SearchIndexError(f"{count} texts need {count} ids; got {len(ids)}")
        new = checked_ids(ids)
        kinds = {type(value) for value in new} | ({self._id_type} if self._id_type else set())
        if len(kinds) > 1:
            raise SearchIndexError("ids are all integers or all strings; got both")
        seen: set[Id] = set()
        for value in new:
            if value in seen:
                raise SearchIndexError(f"id {value!r} is taken: it is there twice")
            seen.add(value)
        return new

    def _taken(self, ids: list[Id]) -> list[Id]:
        if self._id_type is int and min((i for i in ids if isinstance(i, int)), default=0) >= self._next_id:
            return []  # all are new
        return list(self._content.numbers(ids))

    def _numbers(self, ids: Sequence[Id]) -> list[int]:
        """Numbers of live rows by id; an id that is not there is an error."""
        found = self._content.numbers(checked_ids(ids))
        if missing := [id_ for id_ in ids if id_ not in found]:
            more = f" (and {len(missing) - 1} others)" if len(missing) > 1 else ""
            raise SearchIndexError(f"there is no id {missing[0]!r}{more} in this index")
        return [found[id_] for id_ in ids]

    def get(self, ids: Sequence[Id]) -> list[Row]:
        """The rows with these ids; one that is not there is a `SearchIndexError`."""
        numbers = self._numbers(ids)
        rows = self._content.fetch(numbers)
        return [rows[number] for number in numbers]

    def vectors_of(self, ids: Sequence[Id]) -> Vectors:
        """Unit vectors of the rows with these ids, (n, D); one that is not there is a `SearchIndexError`."""
        return self._content.vectors.take(np.array(self._numbers(ids), dtype=np.int64))

    def rows(self) -> Iterator[tuple[Row, Vectors]]:
        """Every row with its unit vector (D,), in the order in which they were added."""
        return self._content.rows()

    def search(
        self,
        vectors: Vectors,
        k: int = 5,
        threshold: float | None = None,
        filter: Mapping[str, Any] | None = None,
    ) -> list[list[Hit]]:
        """The ``k`` nearest texts of each query vector (Q, D), best first, with a cosine of at least ``threshold``.

        ``filter``: a filter on the metadata (`filters`).
        """
        if k < 1:
            raise SearchIndexError(f"k must be at least 1; got {k}")
        check_threshold(threshold)
        queries = np.array(vectors, dtype=np.float32, order="C", ndmin=2)
        if queries.shape[1] != self.dimension and len(queries):
            raise SearchIndexError(
                f"the index holds vectors of {self.dimension} dimensions; the query has {queries.shape[1]}"
            )
        content = self._content
        allowed = content.live if filter is None else content.matching(parse_filter(filter))
        if not len(queries) or not allowed.any():
            return [[] for _ in queries]
        found = content.nearest(normalized(queries), min(k, int(np.count_nonzero(allowed))), allowed)
        good = found.rows >= 0 if threshold is None else (found.rows >= 0) & (found.scores >= threshold)
        rows = content.fetch(np.unique(found.rows[good]).tolist())
        return [
            [
                Hit.of(rows[number], score)
                for score, number, fits in zip(scores, numbers.tolist(), fit, strict=True)
                if fits
            ]
            for scores, numbers, fit in zip(found.scores, found.rows, good, strict=True)
        ]

    def similar(
        self, id: Id, k: int = 5, threshold: float | None = None, filter: Mapping[str, Any] | None = None
    ) -> list[Hit]:
        """The ``k`` texts nearest to the one with this id, without it; as `search`."""
        found = self.search(self.vectors_of([id]), k + 1, threshold, filter)[0]
        return [hit for hit in found if hit.id != id][:k]

    def fetch(self, numbers: Sequence[int]) -> dict[int, Row]:
        """Rows by number: the order in which they were added, which compacting changes."""
        return self._content.fetch(numbers)

    def unit_vectors(self) -> tuple[NDArray[np.int64], Vectors]:
        """(numbers, vectors) of all rows, (N,) and (N, D), in memory."""
        numbers = np.flatnonzero(self._content.live)
        return numbers, self._content.vectors.take(numbers)

    def sample(self, count: int, seed: int = 0) -> tuple[list[Row], Vectors]:
        """At most so many rows, drawn at random, in the order in which they were added, with unit vectors (n, D)."""
        numbers = np.flatnonzero(self._content.live)
        if len(numbers) > count:
            numbers = np.sort(np.random.default_rng(seed).choice(numbers, count, replace=False))
        rows = self._content.fetch(numbers.tolist())
        return [rows[number] for number in numbers.tolist()], self._content.vectors.take(numbers)

    def neighbors(self, k: int, batch: int) -> Iterator[tuple[NDArray[np.int64], Nearest]]:
        """The ``k`` nearest other rows of every row, for so many rows at once; both by number."""
        content = self._content
        numbers = np.flatnonzero(content.live)
        for at in range(0, len(numbers), batch):
            own = numbers[at : at + batch]
            found = content.nearest(content.vectors.take(own), min(k + 1, len(numbers)), content.live)
            scores = np.where(found.rows == own[:, None], -np.inf, found.scores)  # itself goes last
            yield own, merged([Nearest(scores, np.where(found.rows == own[:, None], -1, found.rows))], k)

    def as_ids(self, texts: Sequence[str]) -> list[Id]:
        """Ids of this index that are written as text: integers, where its ids are.

        Raises:
            SearchIndexError: no integer, where it has to be one.
        """
        if self._id_type is str:
            return list(texts)
        for text in texts:
            if not text.removeprefix("-").isdecimal():
                raise SearchIndexError(f"this index has integer ids; got {text!r}")
        return [int(text) for text in texts]

    def info(self) -> Info:
        """What it holds."""
        content = self._content
        return Info(
            count=len(self),
            deleted=len(content.live) - len(self),
            dimension=self.dimension,
            kind=self.kind,
            structure=content.described,
            unindexed=content.unindexed,
            segments=len(content.segments),
            bytes=0 if self._folder is None else sum(path.stat().st_size for path in self._folder.iterdir()),
            generation=self._generation,
            model=self.model,
        )

    def refresh(self) -> bool:
        """Read the last commit where somebody else has made one since; whether it has. Unsaved changes prevent it."""
        pending = self._content.pending
        if self._folder is None or pending.count or pending.deleted or _stamp(self._folder) == self._seen:
            return False
        vars(self).update(vars(Collection.open(self._folder)))
        return True

    def save(self, folder: str | Path | None = None, *, structure: bool = True) -> Path:
        """Commit to ``folder`` (None: where it was opened or saved last); on any failure the last commit stays.

        It writes what was added and deleted since, not what was there. Saving elsewhere makes a copy.
        ``structure`` False leaves the making of a first structure to a later commit.

        Raises:
            SearchIndexError: no folder named yet, another index there, or a commit by somebody else since opening.
            DiskFullError: no space.
        """
        target = self._target(folder)
        with one_writer(target):
            generation = self._next_generation(target)
            content, described = self._content, self._content.described
            new = bool(content.pending.count or content.pending.deleted)
            missing = structure and described is None and self._wants_structure(len(content))
            if generation > 1 and not new and not missing:
                return target
            with committing(target):
                entries = [segment.entry for segment in content.segments]
                if target != self._folder:
                    self._copy_to(target, [*entries, *([described] if described else [])])
                if new:
                    kept = len(entries) - to_merge(content.segments, content.pending)
                    entries[kept:] = [write_segment(target, generation, content.segments[kept:], content.pending)]
                if missing:
                    described = self._structure(target, generation, content.vectors)
                self._commit(target, generation, entries, described)
        rest = self._content.unindexed
        if described is not None and rest > max(AUTO_FLAT, described.rows // 4):
            say_once(
                f"{rest} of {len(self._content.live)} rows of {target} were added since its structure was made, and "
                "are compared one by one; compact makes it anew: simcse-kit index compact",
                key=f"unindexed: {target}",
            )
        return target

    def _wants_structure(self, count: int) -> bool:
        return count > 1 and resolve_kind(self.kind, count) != "flat"

    def compact(self) -> Path:
        """Commit without the deleted rows, and with a structure over all that is left; costs the index's size."""
        target = self.save()
        with one_writer(target):
            generation, content = self._next_generation(target), self._content
            with committing(target):
                entry = compacted(target, generation, content.segments, content.vectors, content.live)
                vectors = VectorParts([open_segment(target, entry, self.dimension).part], self.dimension)
                wanted = self._wants_structure(entry.count)
                described = self._structure(target, generation, vectors) if wanted else None
                self._commit(target, generation, [entry], described)
        return target

    def verify(self) -> None:
        """Read everything of the last commit; what differs from what was written is a `SearchIndexError` by name."""
        if self._folder is None:
            raise SearchIndexError("this index has no folder yet")
        self._content.verify(self._folder)

    def _target(self, folder: str | Path | None) -> Path:
        if folder is None and self._folder is None:
            raise SearchIndexError("this index has no folder yet; name one")
        target = Path(folder).absolute() if folder is not None else self._folder
        assert target is not None
        if target.is_file():
            raise SearchIndexError(f"{target} is a file; an index is a folder")
        return target

    def _next_generation(self, target: Path) -> int:
        if (target / MANIFEST).is_file():
            on_disk = read_manifest(target).generation
            if target != self._folder:
                raise SearchIndexError(
                    f"{target} already holds an index; open it and add to it, or choose another folder"
                )
            if on_disk != self._generation:
                raise SearchIndexError(
                    f"{target} was changed by somebody else since it was opened (commit {on_disk}, opened at "
                    f"{self._generation}); open it again"
                )
            return on_disk + 1
        if target.is_dir() and any(target.iterdir()):
            raise SearchIndexError(f"{target} is not empty and not an index; choose another folder")
        return 1

    def _copy_to(self, target: Path, entries: Sequence[SegmentEntry | StructureEntry]) -> None:
        for entry in entries:
            files = [entry.vectors, entry.rows] if isinstance(entry, SegmentEntry) else [entry.file]
            for file in files:
                if file is not None:
                    assert self._folder is not None
                    shutil.copyfile(self._folder / file.name, target / file.name)
                    sync(target / file.name)

    def _structure(self, target: Path, generation: int, vectors: VectorParts) -> StructureEntry:
        """Make, tune and write a structure over all vectors."""
        kind = resolve_kind(self.kind, len(vectors))
        structure, tuned = build_tuned(kind, vectors, self.target_recall)
        if tuned.recall < self.target_recall:
            say_once(
                f"{kind} finds {tuned.recall:.3f} of the 10 nearest at best, less than the recall of "
                f"{self.target_recall} that was asked for; another kind may: --kind int8 or --kind hnsw",
                key=f"recall: {target}",
            )
        path = target / file_name("structure", generation)
        structure.write(path)
        size, table = seal(path)
        return StructureEntry(
            kind=kind,
            rows=structure.rows,
            effort=tuned.setting.effort,
            candidates=tuned.setting.candidates,
            recall=tuned.recall,
            queries=tuned.queries,
            file=FileEntry(path.name, size, table),
        )

    def _commit(
        self, target: Path, generation: int, entries: Sequence[SegmentEntry], structure: StructureEntry | None
    ) -> None:
        rows = sum(entry.count for entry in entries)
        manifest = Manifest(
            generation=generation,
            dimension=self.dimension,
            count=rows - sum(entry.deleted for entry in entries),
            next_id=self._next_id,
            id_type="str" if self._id_type is str else "int",
            metric="cosine",
            kind=self.kind,
            target_recall=self.target_recall,
            model=self.model,
            segments=tuple(entries),
            structure=structure,
        )
        commit(target, manifest)
        self._seen = _stamp(target)  # before the lock is given back
        before = self._content if target == self._folder else None
        self._folder, self._generation = target, generation
        self._content = Content.open(target, manifest, before)

    @classmethod
    def open(cls, folder: str | Path) -> Collection:
        """Open the last commit of a folder; a damaged file is an error by name. Vectors and texts stay on the disk."""
        target = Path(folder).absolute()
        while True:
            seen = _stamp(target)
            manifest = read_manifest(target)
            try:
                collection = cls._read(target, manifest)
            except (SearchIndexError, OSError):
                if read_manifest(target).generation == manifest.generation:
                    raise  # else a writer committed meanwhile, and took the old files away
            else:
                collection._seen = seen
                return collection

    @classmethod
    def _read(cls, target: Path, manifest: Manifest) -> Collection:
        collection = cls(manifest.dimension, manifest.kind, manifest.target_recall)
        collection.model = manifest.model
        collection._content = Content.open(target, manifest)
        collection._next_id = manifest.next_id
        if len(collection._content.live):
            collection._id_type = str if manifest.id_type == "str" else int
        collection._folder, collection._generation = target, manifest.generation
        return collection


def _stamp(folder: Path) -> tuple[int, int] | None:
    """What changes with every commit, without reading it; None where there is none."""
    try:
        found = (folder / MANIFEST).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns
