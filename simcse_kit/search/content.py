"""Content of an index at one instant: segments on the disk, pending rows in memory, and a search structure."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from simcse_kit.cores import one_thread_after_a_fork
from simcse_kit.errors import DamagedIndexError, SlowFilterError, say_once
from simcse_kit.search.filters import Condition
from simcse_kit.search.keywords import Keywords
from simcse_kit.search.kinds import ApproximateKind, get_kind
from simcse_kit.search.rows import Id, IndexRow
from simcse_kit.search.segments import Pending, Segment, open_segment, verify_segment
from simcse_kit.search.store import MANIFEST, FileEntry, Manifest, StructureEntry, open_file
from simcse_kit.search.structure import AUTO_FLAT, Setting, Structure
from simcse_kit.search.vectors import Mask, Nearest, VectorParts, merged
from simcse_kit.types import Vectors

_LEAST_SECONDS = 5.0  # time limit of a filter
_SECONDS_OF_A_ROW = 1e-5  # time limit for many rows: ten times what one condition takes
_FEW = 0.02  # if a filter keeps at most this share of the rows, they are compared one by one


@dataclass(frozen=True)
class Content:
    """Rows numbered from 0 in the order of adding; a deleted row keeps its number until a compaction.

    Immutable: `added` and `deleted` return a new content, which shares what it can.
    """

    dimension: int
    segments: tuple[Segment, ...]
    pending: Pending
    committed: Mask  # (rows of the segments,): ``live`` of the last commit
    live: Mask  # by number: rows that are not deleted
    deletions: int = 0  # since the last commit
    structure: Structure | None = None
    described: StructureEntry | None = None  # the structure as written
    words: bool = False  # whether keyword search is possible

    @classmethod
    def empty(cls, dimension: int, *, words: bool = False) -> Content:
        """No rows; ``words``: with keyword search."""
        none = np.zeros(0, dtype=bool)
        return cls(dimension, (), Pending.empty(0, dimension, words=words), none, none, words=words)

    @classmethod
    def open(cls, folder: Path, manifest: Manifest, before: Content | None = None) -> Content:
        """The content of a commit. Shares open files with ``before``, a commit of the same folder."""
        opened = {segment.entry: segment for segment in before.segments} if before else {}
        segments: list[Segment] = []
        rows = 0
        for entry in manifest.segments:
            if entry.start != rows:
                raise DamagedIndexError(f"{folder} is damaged: the segments in its manifest are not consecutive")
            segments.append(opened.get(entry) or open_segment(folder, entry, manifest.dimension))
            rows += entry.count
        live = np.ones(rows, dtype=bool)
        for segment in segments:
            numbers = segment.rows.deleted() if segment.entry.deleted else np.zeros(0, np.int64)
            if len(numbers) != segment.entry.deleted or (len(numbers) and numbers[-1] >= rows):
                raise DamagedIndexError(f"{folder / segment.entry.rows.name} is damaged: its deleted rows do not match")
            live[numbers] = False
        if (count := int(np.count_nonzero(live))) != manifest.count:
            raise DamagedIndexError(f"{folder}: the manifest counts {manifest.count} sentences, the files hold {count}")
        structure = None
        if (wanted := manifest.structure) is not None:
            if wanted.rows > rows:
                raise DamagedIndexError(f"{folder} is damaged: the structure has more rows than the index")
            same = before is not None and before.described == wanted
            structure = (
                before.structure if before is not None and same else _open_structure(folder, wanted, manifest.dimension)
            )
        words = manifest.keywords is not None
        pending = Pending.empty(rows, manifest.dimension, words=words)
        return cls(manifest.dimension, tuple(segments), pending, live, live, 0, structure, wanted, words)

    def files(self) -> Iterator[FileEntry]:
        """Files of the last commit that this content reads."""
        for segment in self.segments:
            yield from segment.entry.files()
        if self.described is not None:
            yield self.described.file

    def bytes_in(self, folder: Path) -> int:
        """Sizes of the last commit's files on the disk."""
        total = 0
        for name in (MANIFEST, *(entry.name for entry in self.files())):
            with suppress(FileNotFoundError):  # a writer may delete an old commit's files
                total += (folder / name).stat().st_size
        return total

    def __len__(self) -> int:
        return self._count

    @cached_property
    def _count(self) -> int:
        return int(np.count_nonzero(self.live))

    @property
    def unindexed(self) -> int:
        """Number of rows outside the structure, which are compared one by one."""
        return len(self.live) - (self.structure.rows if self.structure else 0)

    def added(self, unit: Vectors, ids: Sequence[Id], texts: Sequence[str], metadata: Sequence[str | None]) -> Content:
        """This content with n more rows."""
        live = np.concatenate([self.live, np.ones(len(unit), dtype=bool)])
        return replace(self, pending=self.pending.added(unit, ids, texts, metadata), live=live)

    def deleted(self, numbers: Sequence[int]) -> Content:
        """This content without some live rows."""
        live = self.live.copy()
        live[np.asarray(numbers, dtype=np.int64)] = False
        return replace(self, live=live, deletions=self.deletions + len(numbers))

    @property
    def changed(self) -> bool:
        """Whether anything has changed since the last commit."""
        return bool(self.pending.count or self.deletions)

    def newly_deleted(self) -> list[int]:
        """Numbers of rows deleted since the last commit."""
        there = self.live.copy()
        there[: len(self.committed)] |= ~self.committed
        return np.flatnonzero(~there).tolist()

    @cached_property
    def sources(self) -> list[Segment | Pending]:
        """Segments of the rows, in order."""
        return [*self.segments, *([self.pending] if self.pending.count else [])]

    @cached_property
    def vectors(self) -> VectorParts:
        """The unit vectors of all rows, including deleted ones."""
        return VectorParts([source.part for source in self.sources if source.count], self.dimension)

    @cached_property
    def keywords(self) -> Keywords:
        """Keyword ranking of its live rows."""
        return Keywords([source.rows for source in self.sources], self.live)

    def numbers(self, ids: Sequence[Id]) -> dict[Id, int]:
        """Numbers of live rows by id, for those ids that exist."""
        end = len(self.live)  # pending may already have more rows
        return {
            id_: number
            for source in self.sources
            for number, id_ in source.rows.numbers(ids)
            if number < end and self.live[number]
        }

    def fetch(self, numbers: Sequence[int]) -> dict[int, IndexRow]:
        """Rows by number."""
        found: dict[int, IndexRow] = {}
        ordered, first = sorted(numbers), 0
        for source in self.sources:
            end = bisect_left(ordered, source.start + source.count, first)
            if end > first:
                found |= source.rows.fetch(ordered[first:end])
            first = end
        return found

    def matching(self, condition: Condition) -> Mask:
        """Which live rows match a condition, by number."""
        mask = np.zeros(len(self.live), dtype=bool)
        seconds = max(_LEAST_SECONDS, _SECONDS_OF_A_ROW * len(mask))
        deadline = time.monotonic() + seconds
        for source in self.sources:
            try:
                numbers = source.rows.matching(condition, deadline)
            except TimeoutError as error:
                raise SlowFilterError(
                    f"the filter was stopped at its time limit of {seconds:.0f} s for {len(mask):,} rows; use "
                    "fewer conditions: a list of values in $in takes no longer than one value"
                ) from error
            mask[numbers[numbers < len(mask)]] = True
        return mask & self.live

    def rows(self) -> Iterator[tuple[IndexRow, Vectors]]:
        """Every live row with its unit vector (D,)."""
        for source in self.sources:
            source.part.check(0, source.count)
            for number, row in source.rows.among(self.live):
                yield row, source.part.vectors[number - source.start]

    def read_rows(self, first: int) -> None:
        """Read the rows from a number on, to check that they are readable."""
        for segment in self.segments:
            if segment.start + segment.count > first:
                for _ in segment.rows.since(first):
                    pass

    def nearest(self, queries: Vectors, k: int, allowed: Mask | None = None, *, own: bool = False) -> Nearest:
        """The k nearest of the ``allowed`` live rows (None: all), for unit queries (Q, D).

        ``own``: the queries are rows that find themselves; the structure is tuned for one more hit.
        """
        import faiss

        one_thread_after_a_fork(faiss.omp_set_num_threads)
        vectors = self.vectors
        left = len(self) if allowed is None else int(np.count_nonzero(allowed))
        choice = None if left == len(self.live) else self.live if allowed is None else allowed
        if choice is not None and left <= max(AUTO_FLAT // 2, _FEW * len(choice)):
            return vectors.nearest_of(queries, k, np.flatnonzero(choice))
        setting = None if self.structure is None else self.structure.setting_for(k - own)
        if self.structure is None or setting is None:
            self._say_slow()
            return vectors.nearest(queries, k, allowed=choice)
        covered = self.structure.rows
        there = covered if choice is None else int(np.count_nonzero(choice[:covered]))
        scale = covered / max(1, there)  # with fewer rows, search to the same depth
        wider = setting._replace(effort=int(np.ceil(setting.effort * scale)))
        found = self.structure.nearest(vectors, queries, k, wider, choice)
        if covered < len(self.live):
            found = merged([found, vectors.nearest(queries, k, first=covered, allowed=choice)], k)
        if found.rows.shape[1] < k:
            return vectors.nearest(queries, k, allowed=choice)
        short = np.flatnonzero(found.rows[:, -1] < 0)  # fewer rows than requested were searched
        if len(short):
            found.scores[short], found.rows[short] = vectors.nearest(queries[short], k, allowed=choice)
        return found

    def _say_slow(self) -> None:
        if self.described is not None and self.described.more is None:
            say_once(
                "this index was written by 0.1.0, which did not measure recall for more than 10 hits: for more "
                "hits, every vector is compared; to measure it: simcse-kit index compact",
                key=f"more hits: {self.described.file}",
            )

    def verify(self, folder: Path) -> None:
        """Read all files of the commit. Raises an error that names the file for any change since it was written."""
        for segment in self.segments:
            verify_segment(folder, segment, words=self.words)
        if self.described is not None:
            open_file(folder, self.described.file).verify()


def _open_structure(folder: Path, entry: StructureEntry, dimension: int) -> Structure:
    kind = get_kind(entry.kind)
    if not isinstance(kind, ApproximateKind):
        raise DamagedIndexError(f"{folder} is damaged: it has a structure, which {kind.name} does not use")
    more = [Setting(one.effort, one.candidates, one.k) for one in entry.more or ()]
    settings = [Setting(entry.effort, entry.candidates), *more]
    return Structure.open(kind, open_file(folder, entry.file), entry.rows, dimension, settings)
