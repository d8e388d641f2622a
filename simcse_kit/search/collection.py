"""Vectors with ids, texts and metadata: searched by cosine, changed in memory, committed to a folder."""

from __future__ import annotations

import copy
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simcse_kit.errors import IndexChangedError, NoIndexError, SearchIndexError, say_once
from simcse_kit.files import sync
from simcse_kit.search.address import parse_address
from simcse_kit.search.base import BaseCollection
from simcse_kit.search.checks import check_same_model
from simcse_kit.search.commits import NewCommit, commit, committing, last_commit, one_writer
from simcse_kit.search.content import Content
from simcse_kit.search.filters import Condition
from simcse_kit.search.hybrid import keyword_entry
from simcse_kit.search.kinds import ApproximateKind, get_kind
from simcse_kit.search.rows import Hit, Id, IndexRow
from simcse_kit.search.segments import compacted, open_segment, to_merge, write_segment
from simcse_kit.search.snapshot import IndexInfo, Snapshot
from simcse_kit.search.store import (
    MANIFEST,
    FileEntry,
    KeywordEntry,
    Manifest,
    SegmentEntry,
    StructureEntry,
    is_file,
    read_manifest,
    stamp_of,
)
from simcse_kit.search.structure import AUTO_FLAT, TARGET_RECALL, resolve_kinds
from simcse_kit.search.tuning import write_tuned
from simcse_kit.search.vectors import Nearest, VectorParts, merged
from simcse_kit.types import Vectors


@dataclass(frozen=True, kw_only=True)
class FolderSnapshot(Snapshot):
    """State of an index in a folder at one instant."""

    content: Content
    folder: Path | None = None
    generation: int = 0  # of the commit in ``folder`` on which the content is based
    commit: str | None = None  # its id
    stamp: tuple[int, ...] | None = None  # `stamp_of` of it


class Collection(BaseCollection):
    """N texts with ids, metadata and unit vectors (N, D).

    `add`, `update` and `delete` change memory; `save` commits to a folder atomically; `open` reads the last commit,
    whose vectors stay on the disk. Search is exact, or uses a structure whose candidates are compared exactly
    (``kind``, see `KINDS`). The first `save` with enough rows builds the structure, and `compact` builds it again.
    """

    def __init__(
        self, dimension: int, kind: str = "auto", target_recall: float = TARGET_RECALL, *, hybrid: bool = False
    ) -> None:
        super().__init__(dimension, kind, target_recall, hybrid=hybrid)
        resolve_kinds(kind, 0)
        content = Content.empty(dimension, words=hybrid)
        self._snapshot: FolderSnapshot = FolderSnapshot(**vars(self._snapshot), content=content)

    def now(self) -> Collection:
        """See `BaseCollection.now`."""
        return copy.copy(self)  # the snapshot never changes

    @property
    def _content(self) -> Content:
        return self._snapshot.content

    def __len__(self) -> int:
        return len(self._content)

    @property
    def folder(self) -> Path | None:
        """Folder of the last open or save."""
        return self._snapshot.folder

    def _append(self, unit: Vectors, ids: Sequence[Id], texts: Sequence[str], metadata: Sequence[str | None]) -> None:
        content = self._content.added(unit, ids, texts, metadata)
        self._snapshot = replace(self._snapshot, content=content)

    def _remove(self, numbers: Sequence[int]) -> None:
        self._snapshot = replace(self._snapshot, content=self._content.deleted(numbers))

    def found(self, ids: Sequence[Id]) -> dict[Id, int]:
        return self._content.numbers(ids)

    def _matching(self, condition: Condition) -> list[int]:
        return np.flatnonzero(self._content.matching(condition)).tolist()

    def live(self) -> NDArray[np.int64]:
        return np.flatnonzero(self._content.live)

    def _take(self, numbers: Sequence[int]) -> Vectors:
        return self._content.vectors.take(np.array(numbers, dtype=np.int64))

    def rows(self) -> Iterator[tuple[IndexRow, Vectors]]:
        """Every row with its unit vector (D,), in the order of adding."""
        return self._content.rows()

    def _hits(self, queries: Vectors, k: int, threshold: float | None, condition: Condition | None) -> list[list[Hit]]:
        content = self._content
        allowed = None if condition is None else content.matching(condition)
        count = len(content) if allowed is None else int(np.count_nonzero(allowed))
        if not count:
            return [[] for _ in queries]
        found = content.nearest(queries, min(k, count), allowed)
        good = found.rows >= 0 if threshold is None else (found.rows >= 0) & (found.scores >= threshold)
        rows = content.fetch(list(set(found.rows[good].tolist())))
        return [
            [Hit.of(rows[number], score) for score, number, fits in zip(*values, strict=True) if fits]
            for values in zip(found.scores.tolist(), found.rows.tolist(), good.tolist(), strict=True)
        ]

    def _ranked(
        self, queries: Sequence[str], vectors: Vectors | None, k: int, condition: Condition | None
    ) -> tuple[Nearest, Nearest | None]:
        content = self._content
        allowed = None if condition is None else content.matching(condition)
        count = min(k, len(content) if allowed is None else int(np.count_nonzero(allowed)))
        by_words = content.keywords.nearest(queries, count, allowed)
        return by_words, None if vectors is None else content.nearest(vectors, count, allowed)

    def fetch(self, numbers: Sequence[int]) -> dict[int, IndexRow]:
        """Rows by number, their position in the order of adding; compacting changes the numbers."""
        return self._content.fetch(numbers)

    def neighbors(self, k: int, batch: int) -> Iterator[tuple[NDArray[np.int64], Nearest]]:
        """The ``k`` nearest other rows of every row, ``batch`` rows at a time; both by number."""
        content = self._content
        numbers = np.flatnonzero(content.live)
        for at in range(0, len(numbers), batch):
            own = numbers[at : at + batch]
            found = content.nearest(content.vectors.take(own), min(k + 1, len(numbers)), own=True)
            scores = np.where(found.rows == own[:, None], -np.inf, found.scores)  # the row itself goes last
            yield own, merged([Nearest(scores, np.where(found.rows == own[:, None], -1, found.rows))], k)

    def info(self) -> IndexInfo:
        """Summary of the index."""
        snapshot = self._snapshot
        content, count = snapshot.content, len(snapshot.content)
        return IndexInfo(
            count=count,
            deleted=len(content.live) - count,
            dimension=snapshot.dimension,
            kind=snapshot.kind,
            structure=content.described,
            unindexed=content.unindexed,
            segments=len(content.segments),
            bytes=0 if snapshot.folder is None else content.bytes_in(snapshot.folder),
            generation=snapshot.generation,
            model=snapshot.model,
            fields=snapshot.fields,
            keywords=self.keywords is not None,
            source=snapshot.source,
        )

    def refresh(self, *, discard: bool = False) -> bool:
        """See `BaseCollection.refresh`."""
        snapshot = self._snapshot
        if snapshot.folder is None or (snapshot.content.changed and not discard):
            return False
        found = stamp_of(snapshot.folder / MANIFEST)
        if found is None:
            raise IndexChangedError(
                f"{snapshot.folder} no longer holds an index; another process removed it since it was opened"
            )
        if found == snapshot.stamp and not snapshot.content.changed:
            return False
        try:
            self._snapshot = Collection._open(snapshot.folder, {snapshot.kind}, before=self.now())._snapshot
        except NoIndexError as error:  # removed after the check
            raise IndexChangedError(f"{error}; it existed when it was opened") from error
        return True

    def reopened(self) -> Collection:
        """See `BaseCollection.reopened`."""
        assert self.folder is not None
        return Collection._open(self.folder, {self.kind})

    def save(self, folder: str | Path | None = None, *, structure: bool = True) -> Path:
        """Commit to ``folder`` (None: the folder of the last open or save). After a failure the last commit is intact.

        Writes only what was added and deleted since the last commit. Saving to another folder makes a copy.
        ``structure=False`` leaves building the first structure to a later commit.

        Raises:
            SearchIndexError: no folder yet, another index there, or another process committed since opening.
            DiskFullError: the disk is full.
        """
        target = self._target(folder)
        opened = self._opened(target)
        with one_writer(target, opened=opened is not None) as descriptor:
            before = last_commit(target, opened)
            content, described = self._content, self._content.described
            changed = content.changed
            missing = structure and described is None and self._wants_structure(len(content))
            if before is not None and not changed and not missing:
                return target
            with committing(target, descriptor, before, self._snapshot.generation) as new:
                entries = [segment.entry for segment in content.segments]
                if target != self.folder:
                    entries, described = self._copied(new, entries, described)
                if changed:
                    deleted = content.newly_deleted()
                    kept = len(entries) - to_merge(content.segments, content.pending.count + len(deleted))
                    entries[kept:] = [
                        write_segment(new, content.segments[kept:], content.pending, deleted, words=content.words)
                    ]
                if missing:
                    described = self._structure(new, content.vectors)
                self._commit(new, entries, described, content.pending.start, self.keywords)
        rest = self._content.unindexed
        if described is not None and rest > max(AUTO_FLAT, described.rows // 4):
            say_once(
                f"{rest} of {len(self._content.live)} rows of {target} were added after its structure was built "
                "and are compared one by one; to build it again: simcse-kit index compact",
                key=f"unindexed: {target}",
            )
        return target

    def _wants_structure(self, count: int) -> bool:
        kind = resolve_kinds(self.kind, count)[0]
        if count < 2 or not isinstance(kind, ApproximateKind):
            return False
        if count < (least := kind.least_rows(self.dimension)):
            say_once(
                f"{kind.name} needs {least} rows; with {count}, every vector is compared",
                key=f"few rows: {kind.name}",
            )
            return False
        return True

    def compact(self, *, hybrid: bool | None = None) -> Path:
        """Commit without deleted rows, with a structure over all live rows. The cost grows with the size of the index.

        ``hybrid``: with or without keyword tables; None: no change.
        """
        target = self.save()
        keywords = self.keywords if hybrid is None else keyword_entry(hybrid)
        described = self._content.described
        if described is not None and described.given and self.queries is None:
            say_once(
                f"{target} was tuned with your queries and is now tuned with its own rows; to use your queries "
                "again: simcse-kit index compact --queries FILE",
                key=f"queries: {target}",
            )
        with one_writer(target, opened=True) as descriptor:
            before, content = last_commit(target, self._opened(target)), self._content
            with committing(target, descriptor, before) as new:
                words = keywords is not None
                entry = compacted(new, content.segments, content.vectors, content.live, words=words)
                vectors = VectorParts([open_segment(target, entry, self.dimension).part], self.dimension)
                wanted = self._wants_structure(entry.count)
                described = self._structure(new, vectors) if wanted else None
                self._commit(new, [entry], described, 0, keywords)
        return target

    def verify(self) -> None:
        """Read all of the last commit. Raises a `SearchIndexError` for any difference from what was written."""
        snapshot = self._snapshot
        if snapshot.folder is None:
            raise SearchIndexError("this index has no folder yet: save it first")
        snapshot.content.verify(snapshot.folder)

    def _target(self, folder: str | Path | None) -> Path:
        if folder is None and self.folder is None:
            raise SearchIndexError("this index has no folder yet; name one")
        if folder is not None and (place := parse_address(folder)).uri is not None:
            raise SearchIndexError(f"a Collection is saved to a folder; got {place}. SentenceIndex.save can save there")
        target = Path(folder).absolute() if folder is not None else self.folder
        assert target is not None
        if is_file(target):
            raise SearchIndexError(f"{target} is a file; an index is a folder")
        return target

    def _opened(self, target: Path) -> str | None:
        """Id of the commit in ``target`` on which the content is based."""
        return self._snapshot.commit if target == self.folder else None

    def _copied(
        self, new: NewCommit, entries: Sequence[SegmentEntry], structure: StructureEntry | None
    ) -> tuple[list[SegmentEntry], StructureEntry | None]:
        """Copy the files of the last commit to another folder; returns the entries of the copies."""

        def copied(file: FileEntry) -> FileEntry:
            assert self.folder is not None
            source, target = self.folder / file.name, new.copied(file.name)
            try:
                with source.open("rb") as old, target.open("xb") as copy:
                    shutil.copyfileobj(old, copy)
            except FileNotFoundError as error:
                raise IndexChangedError(f"{source} is missing: the index has changed; open it again") from error
            sync(target)
            return replace(file, name=target.name)

        segments = [
            replace(entry, vectors=entry.vectors and copied(entry.vectors), rows=copied(entry.rows))
            for entry in entries
        ]
        return segments, structure and replace(structure, file=copied(structure.file))

    def _structure(self, new: NewCommit, vectors: VectorParts) -> StructureEntry:
        return write_tuned(new.path("structure"), self.kind, vectors, self.target_recall, self.queries)

    def _commit(
        self,
        new: NewCommit,
        entries: Sequence[SegmentEntry],
        structure: StructureEntry | None,
        first: int,
        keywords: KeywordEntry | None,
    ) -> None:
        """Commit files that are already written, after reading them back; ``first``: number of the first new row."""
        rows = sum(entry.count for entry in entries)
        manifest = Manifest(
            generation=new.generation,
            identity=new.identity,
            commit=new.id,
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
            keywords=keywords,
            fields=None if self.fields is None else dict(self.fields),
            source=self.source,
        )
        before = self._content if new.folder == self.folder else None
        content = Content.open(new.folder, manifest, before)
        content.read_rows(first)
        commit(new, manifest)
        self._snapshot = replace(
            self._snapshot,
            keywords=keywords,
            content=content,
            folder=new.folder,
            generation=new.generation,
            commit=new.id,
            stamp=stamp_of(MANIFEST, new.descriptor),  # before the lock is released
        )

    @classmethod
    def open(cls, folder: str | Path, *, trust_remote_code: bool = False) -> Collection:
        """Open the last commit of a folder. Vectors and texts stay on the disk. An error names a damaged file.

        ``trust_remote_code``: import the module of a kind that the index names as ``module:attribute``.
        """
        return cls._open(Path(folder).absolute(), set(), trust_remote_code=trust_remote_code)

    @classmethod
    def _open(
        cls, target: Path, known: set[str], *, trust_remote_code: bool = False, before: Collection | None = None
    ) -> Collection:
        """``known``: trusted kinds, given by a caller. ``before``: an earlier commit."""
        while True:
            seen = stamp_of(target / MANIFEST)
            manifest = read_manifest(target)
            if before is not None:
                check_same_model(before._snapshot, manifest.model, manifest.dimension, target)
            kinds = {manifest.kind, *([manifest.structure.kind] if manifest.structure else [])}
            for name in kinds - known - {"auto"}:
                get_kind(name, recorded=True, trust_remote_code=trust_remote_code)
            try:
                content = Content.open(target, manifest, None if before is None else before._content)
            except (SearchIndexError, OSError):
                if read_manifest(target).commit == manifest.commit:
                    raise  # otherwise a writer committed meanwhile and removed the old files
            else:
                break
        collection = cls(manifest.dimension, manifest.kind, manifest.target_recall)
        collection._snapshot = replace(
            collection._snapshot,
            model=manifest.model,
            next_id=manifest.next_id,
            id_type=(str if manifest.id_type == "str" else int) if len(content.live) else None,
            keywords=manifest.keywords,
            fields=manifest.fields,
            source=manifest.source,
            content=content,
            folder=target,
            generation=manifest.generation,
            commit=manifest.commit,
            stamp=seen,
        )
        return collection
