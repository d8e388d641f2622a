"""Segments of an index: rows that were written together, read from files or collected in memory."""

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

_MERGED = 1 << 16  # rows of a segment that commits do not rewrite, so that a commit costs as much as was added


@dataclass(frozen=True)
class Segment:
    """Rows with the numbers ``start`` to ``start + count``."""

    start: int
    count: int
    rows: RowTable
    part: VectorPart
    entry: SegmentEntry  # folder of the segment


@dataclass(frozen=True)
class Pending:
    """Rows added since the last commit, in memory.

    Later rows follow in the same memory, so that adding costs as much as is added. ``rows`` may therefore hold more
    than ``count``; an older `Pending` ignores the rest. Only the newest one may be added to.
    """

    start: int  # number of the first row
    count: int
    rows: RowTable
    memory: Vectors  # (count or more, D)

    @classmethod
    def empty(cls, start: int, dimension: int, *, words: bool = False) -> Pending:
        """Empty, from number ``start`` on; ``words``: with keyword tables."""
        return cls(start, 0, RowTable.new(words=words), np.empty((0, dimension), dtype=np.float32))

    @property
    def part(self) -> VectorPart:
        """Its vectors."""
        return VectorPart(self.start, self.memory[: self.count], None)

    def added(
        self, vectors: Vectors, ids: Sequence[Id], texts: Sequence[str], metadata: Sequence[str | None]
    ) -> Pending:
        """This with n more rows."""
        end, memory = self.count + len(vectors), self.memory
        if end > len(memory):
            memory = np.empty((max(end, 2 * len(memory)), vectors.shape[1]), dtype=np.float32)
            memory[: self.count] = self.part.vectors
        memory[self.count : end] = vectors
        self.rows.add(self.start + self.count, ids, texts, metadata)
        return Pending(self.start, end, self.rows, memory)


def open_segment(folder: Path, entry: SegmentEntry, dimension: int) -> Segment:
    """Open the segment of an entry. Its vectors are mapped; its rows are read on request."""
    vectors, file = np.zeros((0, dimension), np.float32), None
    if entry.vectors is not None:
        file = open_file(folder, entry.vectors)
        if entry.vectors.bytes != 4 * dimension * entry.count:
            raise DamagedIndexError(
                f"{folder} is damaged: the row count in the manifest does not match {entry.vectors.name}"
            )
        vectors = file.content.view(np.float32).reshape(entry.count, dimension)
    rows = RowTable.open(open_row_file(folder, entry.rows))
    return Segment(entry.start, entry.count, rows, VectorPart(entry.start, vectors, file), entry)


def verify_segment(folder: Path, segment: Segment, *, words: bool) -> None:
    """Read all files of a segment. Raises an error that names the file for any difference from what was written.

    ``words``: with keyword tables.
    """
    if segment.part.file is not None:
        segment.part.file.verify()
    open_file(folder, segment.entry.rows).verify()
    numbers = list(range(segment.start, segment.start + segment.count))
    if segment.rows.verify() != numbers or (words and segment.rows.lengths().rows.tolist() != numbers):
        raise DamagedIndexError(f"{folder / segment.entry.rows.name} is damaged: it holds other rows than expected")


def to_merge(segments: Sequence[Segment], new: int) -> int:
    """How many of the last segments a commit rewrites together with the ``new`` rows and deletions.

    Those that are not larger. So a row is rewritten each time its segment doubles, and the number of segments is about
    the logarithm of the number of rows.
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
    """Write segments, pending rows and newly deleted numbers as one segment; row numbers stay.

    ``words``: with keyword tables.
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
    """Write the vectors for rows that are already written, and return entries of both files."""
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
    """Write the live rows of all segments as one, numbered from 0; ``words`` as in `write_segment`."""
    numbers = iter(range(int(live.sum())))
    with RowTable.create(new.path("rows"), words=words) as rows:
        for segment in segments:
            rows.take_live(segment.rows, live, numbers)
        if words:
            rows.index_words()
    chunks = (chunk[live[start : start + len(chunk)]] for start, chunk in vectors.chunks())
    return _described(new, 0, 0, chunks)
