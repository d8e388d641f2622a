"""Vectors with their ids, texts and metadata: searched by cosine, changed in memory, committed to a folder."""

from __future__ import annotations

import contextlib
import copy
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simcse_kit.errors import SearchIndexError, say_once
from simcse_kit.files import sync
from simcse_kit.search.address import parse_address
from simcse_kit.search.base import BaseCollection, Hit, IndexInfo, Snapshot
from simcse_kit.search.content import Content
from simcse_kit.search.filters import Condition
from simcse_kit.search.kinds import ApproximateKind, get_kind
from simcse_kit.search.rows import Id, IndexRow
from simcse_kit.search.segments import compacted, open_segment, to_merge, write_segment
from simcse_kit.search.store import (
    MANIFEST,
    ForMore,
    Manifest,
    SegmentEntry,
    StructureEntry,
    commit,
    committing,
    file_name,
    one_writer,
    read_manifest,
    sealed,
)
from simcse_kit.search.structure import AUTO_FLAT, TARGET_RECALL, resolve_kinds
from simcse_kit.search.tuning import build_tuned
from simcse_kit.search.vectors import Nearest, VectorParts, merged
from simcse_kit.types import Vectors


@dataclass(frozen=True, kw_only=True)
class FolderSnapshot(Snapshot):
    """What an index in a folder is at one instant."""

    content: Content
    folder: Path | None = None
    generation: int = 0  # of the commit in ``folder`` that the content started from
    stamp: tuple[int, int] | None = None  # `_stamp` of that commit


class Collection(BaseCollection):
    """N texts with ids, metadata and unit vectors (N, D).

    `add`, `update` and `delete` change memory; `save` commits to a folder at one instant; `open` reads the last commit,
    whose vectors stay on the disk. Search is exact, or by a structure whose candidates are compared exactly (``kind``,
    see `KINDS`); it is made by the first `save` that is worth it and by `compact`.
    """

    def __init__(self, dimension: int, kind: str = "auto", target_recall: float = TARGET_RECALL) -> None:
        super().__init__(dimension, kind, target_recall)
        resolve_kinds(kind, 0)
        self._snapshot: FolderSnapshot = FolderSnapshot(**vars(self._snapshot), content=Content.empty(dimension))

    def now(self) -> Collection:
        """See `BaseCollection.now`."""
        return copy.copy(self)  # the snapshot does not change

    @property
    def _content(self) -> Content:
        return self._snapshot.content

    def __len__(self) -> int:
        return len(self._content)

    @property
    def folder(self) -> Path | None:
        """Where it was opened or saved last."""
        return self._snapshot.folder

    def _append(self, unit: Vectors, ids: Sequence[Id], texts: Sequence[str], metadata: Sequence[str | None]) -> None:
        content = self._content.added(unit, ids, texts, metadata)
        self._snapshot = replace(self._snapshot, content=content)

    def _remove(self, numbers: Sequence[int]) -> None:
        self._snapshot = replace(self._snapshot, content=self._content.deleted(numbers))

    def _found(self, ids: Sequence[Id]) -> dict[Id, int]:
        return self._content.numbers(ids)

    def _matching(self, condition: Condition) -> list[int]:
        return np.flatnonzero(self._content.matching(condition)).tolist()

    def _live(self) -> NDArray[np.int64]:
        return np.flatnonzero(self._content.live)

    def _take(self, numbers: Sequence[int]) -> Vectors:
        return self._content.vectors.take(np.array(numbers, dtype=np.int64))

    def rows(self) -> Iterator[tuple[IndexRow, Vectors]]:
        """Every row with its unit vector (D,), in the order in which they were added."""
        return self._content.rows()

    def _hits(self, queries: Vectors, k: int, threshold: float | None, condition: Condition | None) -> list[list[Hit]]:
        content = self._content
        allowed = content.live if condition is None else content.matching(condition)
        if not allowed.any():
            return [[] for _ in queries]
        found = content.nearest(queries, min(k, int(np.count_nonzero(allowed))), allowed)
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

    def fetch(self, numbers: Sequence[int]) -> dict[int, IndexRow]:
        """Rows by number: the order in which they were added, which compacting changes."""
        return self._content.fetch(numbers)

    def neighbors(self, k: int, batch: int) -> Iterator[tuple[NDArray[np.int64], Nearest]]:
        """The ``k`` nearest other rows of every row, for so many rows at once; both by number."""
        content = self._content
        numbers = np.flatnonzero(content.live)
        for at in range(0, len(numbers), batch):
            own = numbers[at : at + batch]
            found = content.nearest(content.vectors.take(own), min(k + 1, len(numbers)), content.live, own=True)
            scores = np.where(found.rows == own[:, None], -np.inf, found.scores)  # itself goes last
            yield own, merged([Nearest(scores, np.where(found.rows == own[:, None], -1, found.rows))], k)

    def info(self) -> IndexInfo:
        """What it holds."""
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
            bytes=0 if snapshot.folder is None else _bytes_of(snapshot.folder),
            generation=snapshot.generation,
            model=snapshot.model,
            fields=snapshot.fields,
        )

    def refresh(self) -> bool:
        """Read the last commit where somebody else has made one since; whether it has. Unsaved changes prevent it."""
        snapshot = self._snapshot
        if snapshot.folder is None or snapshot.content.changed or _stamp(snapshot.folder) == snapshot.stamp:
            return False
        self._snapshot = Collection._open(snapshot.folder, {snapshot.kind})._snapshot
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
            new = content.changed
            missing = structure and described is None and self._wants_structure(len(content))
            if generation > 1 and not new and not missing:
                return target
            with committing(target):
                entries = [segment.entry for segment in content.segments]
                if target != self.folder:
                    self._copy_to(target, [*entries, *([described] if described else [])])
                if new:
                    deleted = content.newly_deleted()
                    kept = len(entries) - to_merge(content.segments, content.pending.count + len(deleted))
                    merged = content.segments[kept:]
                    entries[kept:] = [write_segment(target, generation, merged, content.pending, deleted)]
                if missing:
                    described = self._structure(target, generation, content.vectors)
                self._commit(target, generation, entries, described, self._content.pending.start)
        rest = self._content.unindexed
        if described is not None and rest > max(AUTO_FLAT, described.rows // 4):
            say_once(
                f"{rest} of {len(self._content.live)} rows of {target} were added since its structure was made, and "
                "are compared one by one; compact makes it anew: simcse-kit index compact",
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

    def compact(self) -> Path:
        """Commit without the deleted rows, and with a structure over all that is left; costs the index's size."""
        target = self.save()
        described = self._content.described
        if described is not None and described.given and self.queries is None:
            say_once(
                f"{target} was tuned by queries of yours, and is tuned by its own rows now; to use yours again: "
                "simcse-kit index compact --queries FILE",
                key=f"queries: {target}",
            )
        with one_writer(target):
            generation, content = self._next_generation(target), self._content
            with committing(target):
                entry = compacted(target, generation, content.segments, content.vectors, content.live)
                vectors = VectorParts([open_segment(target, entry, self.dimension).part], self.dimension)
                wanted = self._wants_structure(entry.count)
                described = self._structure(target, generation, vectors) if wanted else None
                self._commit(target, generation, [entry], described, 0)
        return target

    def verify(self) -> None:
        """Read everything of the last commit; what differs from what was written is a `SearchIndexError` by name."""
        snapshot = self._snapshot
        if snapshot.folder is None:
            raise SearchIndexError("this index has no folder yet")
        snapshot.content.verify(snapshot.folder)

    def _target(self, folder: str | Path | None) -> Path:
        if folder is None and self.folder is None:
            raise SearchIndexError("this index has no folder yet; name one")
        if folder is not None and (place := parse_address(folder)).uri is not None:
            raise SearchIndexError(f"a Collection is saved to a folder; got {place}: SentenceIndex.save goes there")
        target = Path(folder).absolute() if folder is not None else self.folder
        assert target is not None
        if target.is_file():
            raise SearchIndexError(f"{target} is a file; an index is a folder")
        return target

    def _next_generation(self, target: Path) -> int:
        if (target / MANIFEST).is_file():
            on_disk = read_manifest(target).generation
            if target != self.folder:
                raise SearchIndexError(
                    f"{target} already holds an index; open it and add to it, or choose another folder"
                )
            if on_disk != self._snapshot.generation:
                raise SearchIndexError(
                    f"{target} was changed by somebody else since it was opened (commit {on_disk}, opened at "
                    f"{self._snapshot.generation}); open it again"
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
                    assert self.folder is not None
                    shutil.copyfile(self.folder / file.name, target / file.name)
                    sync(target / file.name)

    def _structure(self, target: Path, generation: int, vectors: VectorParts) -> StructureEntry:
        """Make, tune and write a structure over all vectors."""
        for kind in resolve_kinds(self.kind, len(vectors)):
            assert isinstance(kind, ApproximateKind)
            structure, tuned, more = build_tuned(kind, vectors, self.target_recall, self.queries)
            if tuned.recall >= self.target_recall:
                break
        name = kind.name if self.kind == "auto" else self.kind
        if tuned.recall < self.target_recall:
            say_once(
                f"{name} finds {tuned.recall:.3f} of the 10 nearest at best, less than the recall of "
                f"{self.target_recall} that was asked for; another kind may: --kind int8 or --kind hnsw",
                key=f"recall: {target}",
            )
        path = target / file_name("structure", generation)
        structure.write(path)
        return StructureEntry(
            kind=name,
            rows=structure.rows,
            effort=tuned.setting.effort,
            candidates=tuned.setting.candidates,
            recall=tuned.recall,
            queries=tuned.queries,
            given=self.queries is not None,
            file=sealed(path),
            more=tuple(ForMore(**one.setting._asdict(), recall=one.recall) for one in more),
        )

    def _commit(
        self,
        target: Path,
        generation: int,
        entries: Sequence[SegmentEntry],
        structure: StructureEntry | None,
        new: int,
    ) -> None:
        """Commit files that are written, after reading them as everybody will; ``new``: number of the first new row."""
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
            fields=None if self.fields is None else dict(self.fields),
        )
        before = self._content if target == self.folder else None
        content = Content.open(target, manifest, before)
        content.read_rows(new)
        commit(target, manifest)
        stamp = _stamp(target)  # before the lock is given back
        self._snapshot = replace(self._snapshot, content=content, folder=target, generation=generation, stamp=stamp)

    @classmethod
    def open(cls, folder: str | Path, *, trust_remote_code: bool = False) -> Collection:
        """Open the last commit of a folder; a damaged file is an error by name. Vectors and texts stay on the disk.

        ``trust_remote_code``: import the module of a kind that the folder names as ``module:attribute``.
        """
        return cls._open(Path(folder).absolute(), set(), trust_remote_code=trust_remote_code)

    @classmethod
    def _open(cls, target: Path, known: set[str], *, trust_remote_code: bool = False) -> Collection:
        """``known``: kinds that somebody gave, whatever code they are."""
        while True:
            seen = _stamp(target)
            manifest = read_manifest(target)
            kinds = {manifest.kind, *([manifest.structure.kind] if manifest.structure else [])}
            for name in kinds - known - {"auto"}:
                get_kind(name, recorded=True, trust_remote_code=trust_remote_code)
            try:
                content = Content.open(target, manifest)
            except (SearchIndexError, OSError):
                if read_manifest(target).generation == manifest.generation:
                    raise  # else a writer committed meanwhile, and took the old files away
            else:
                break
        collection = cls(manifest.dimension, manifest.kind, manifest.target_recall)
        collection._snapshot = replace(
            collection._snapshot,
            model=manifest.model,
            next_id=manifest.next_id,
            id_type=(str if manifest.id_type == "str" else int) if len(content.live) else None,
            fields=manifest.fields,
            content=content,
            folder=target,
            generation=manifest.generation,
            stamp=seen,
        )
        return collection


def _stamp(folder: Path) -> tuple[int, int] | None:
    """What changes with every commit, without reading it; None where there is none."""
    try:
        found = (folder / MANIFEST).stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


def _bytes_of(folder: Path) -> int:
    total = 0
    for path in folder.iterdir():
        with contextlib.suppress(FileNotFoundError):  # a writer may take an old commit's files away
            total += path.stat().st_size
    return total
