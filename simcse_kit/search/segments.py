"""Segments of an index: rows that were written together, read from their files or gathered in memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simcse_kit.errors import DamagedIndexError
from simcse_kit.search.commits import NewCommit
from simcse_kit.search.rows import Id, RowTable
from simcse_kit.search.store import SegmentEntry, open_file, open_row_file, sealed
from simcse_kit.search.vectors import Mask, VectorPart, VectorParts
from simcse_kit.types import Vectors

_MERGED = 1 << 16  # rows of a segment that is not written again by a commit: it costs what was added


@dataclass(frozen=True)
class Segment:
    """Rows with the numbers ``start`` to ``start + count``."""

    start: int
    count: int
    rows: RowTable
    part: VectorPart
    entry: SegmentEntry  # where it is written


@dataclass(frozen=True)
class Pending:
    """Rows that were added since the last commit, in memory.

    Those that come later lie behind them in the same memory, so that adding costs what is added: ``rows`` may hold more
    than ``count``, which an older `Pending` does not look at. Only the newest one is added to.
    """

    start: int  # number of the first row
    count: int
    rows: RowTable
    memory: Vectors  # (count or more, D)

    @classmethod
    def empty(cls, start: int, dimension: int, *, words: bool = False) -> Pending:
        """No rows, from number ``start`` on; ``words``: they are found by their words too."""
        return cls(start, 0, RowTable.new(words=words), np.empty((0, dimension), dtype=np.float32))

    @property
    def part(self) -> VectorPart:
        """Its vectors."""
        return VectorPart(self.start, self.memory[: self.count], None)

    def added(
        self, vectors: Vectors, ids: Sequence[Id], texts: Sequence[str], metadata: Sequence[str | None]
    ) -> Pending:
        """With n more rows."""
        end, memory = self.count + len(vectors), self.memory
        if end > len(memory):
            memory = np.empty((max(end, 2 * len(memory)), vectors.shape[1]), dtype=np.float32)
            memory[: self.count] = self.part.vectors
        memory[self.count : end] = vectors
        self.rows.add(self.start + self.count, ids, texts, metadata)
        return Pending(self.start, end, self.rows, memory)


def open_segment(folder: Path, entry: SegmentEntry, dimension: int) -> Segment:
    """The segment of an entry; its file of vectors is mapped, its rows are read when they are asked for."""
    vectors, file = np.zeros((0, dimension), np.float32), None
    if entry.vectors is not None:
        file = open_file(folder, entry.vectors)
        if entry.vectors.bytes != 4 * dimension * entry.count:
            raise DamagedIndexError(f"{folder}: the manifest counts other rows than {entry.vectors.name} holds")
        vectors = file.content.view(np.float32).reshape(entry.count, dimension)
    rows = RowTable.open(open_row_file(folder, entry.rows))
    return Segment(entry.start, entry.count, rows, VectorPart(entry.start, vectors, file), entry)


def verify_segment(folder: Path, segment: Segment, *, words: bool) -> None:
    """Read all of a segment's files; a difference from what was written is an error by name.

    ``words``: with tables of the rows' words.
    """
    if segment.part.file is not None:
        segment.part.file.verify()
    open_file(folder, segment.entry.rows).verify()
    numbers = list(range(segment.start, segment.start + segment.count))
    if segment.rows.verify() != numbers or (words and segment.rows.lengths().rows.tolist() != numbers):
        raise DamagedIndexError(f"{folder / segment.entry.rows.name} is damaged: it holds other rows than it should")


def to_merge(segments: Sequence[Segment], new: int) -> int:
    """How many of the last segments a commit writes again together with what is ``new``: rows and deletions.

    Those that are no larger: so a row is written again each time its segment doubles, and there are about as many
    segments as the logarithm of the rows says.
    """
    size, merged = new, 0
    for segment in reversed(segments):
        own = segment.count + segment.entry.deleted
        if own > size or own > _MERGED:
            break
        size, merged = size + own, merged + 1
    return merged


def write_segment(
    new: NewCommit, merged: Sequence[Segment], pending: Pending, deleted_rows: Iterable[int], *, words: bool
) -> SegmentEntry:
    """Write segments, what is pending and the numbers of newly deleted rows as one; numbers stay.

    ``words``: with tables of the rows' words.
    """
    sources: list[Segment | Pending] = [*merged, pending]
    with RowTable.create(new.path("rows"), words=words) as rows:
        for source in sources:
            rows.take(source.rows, source.start + source.count)
        if words:
            rows.index_words()
        rows.delete(deleted_rows)
        deleted = len(rows.deleted())
    parts = VectorParts([source.part for source in sources], pending.part.vectors.shape[1])
    return _described(new, sources[0].start, deleted, (chunk for _, chunk in parts.chunks()))


def _described(new: NewCommit, start: int, deleted: int, chunks: Iterable[Vectors]) -> SegmentEntry:
    """Write the vectors beside rows that are written, and describe both."""
    path, rows_path = new.path("vectors"), new.path("rows")
    count = 0
    with path.open("xb") as file:
        for chunk in chunks:
            file.write(np.ascontiguousarray(chunk).data)
            count += len(chunk)
    vectors = None
    if count:
        vectors = sealed(path)
    else:
        path.unlink()
    rows = sealed(rows_path)
    return SegmentEntry(start=start, count=count, deleted=deleted, vectors=vectors, rows=rows)


def compacted(
    new: NewCommit, segments: Sequence[Segment], vectors: VectorParts, live: Mask, *, words: bool
) -> SegmentEntry:
    """Write the live rows of all segments as one, numbered from 0; ``words``: as in `write_segment`."""
    numbers = iter(range(int(live.sum())))
    with RowTable.create(new.path("rows"), words=words) as rows:
        for segment in segments:
            rows.take_live(segment.rows, live, numbers)
        if words:
            rows.index_words()
    chunks = (chunk[live[start : start + len(chunk)]] for start, chunk in vectors.chunks())
    return _described(new, 0, 0, chunks)
