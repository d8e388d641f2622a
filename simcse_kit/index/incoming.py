"""Rows from files on their way into an index."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from simcse_kit.bars import tqdm
from simcse_kit.data.files import files_of
from simcse_kit.data.source import Source, count_rows
from simcse_kit.errors import DataError
from simcse_kit.index.passages import cut_passages
from simcse_kit.index.row_source import RowSource
from simcse_kit.model import SimCSE
from simcse_kit.search import IndexRow
from simcse_kit.types import Id

READ = 1 << 12  # rows per call of the encoder, and per step of the bar
COMMITTED = 1 << 18  # rows per commit: limits memory

Files = str | Path | Sequence[str | Path]


class IndexCounts(NamedTuple):
    """Counts of what was added or left out."""

    files: int
    rows: int  # rows added or replaced
    blank: int  # rows without text, left out
    skipped: int  # rows that cannot be used; only with skip_bad_rows
    documents: int = 0  # documents of the passages; only with passages
    changed: int = 0  # sentences or documents that replaced others; only with on_conflict="update"
    kept: int = 0  # existing ones that stayed unchanged; only with on_conflict


class FileReading(NamedTuple):
    """How files are read and encoded; the arguments of `build_index`."""

    source: RowSource
    header: bool | None
    skip_bad_rows: bool
    batch_size: int | None
    show_progress_bar: bool

    def of_the_rows(self) -> list[Any]:
        """What determines the rows."""
        source = self.source
        return [
            source.columns,
            source.id_column,
            source.metadata_columns,
            self.header,
            source.passages,
            source.language,
        ]


class RowBatch(NamedTuple):
    """Arguments of `SentenceIndex.add`."""

    texts: list[str]
    ids: list[Id] | None
    metadata: Sequence[dict[str, Any] | None] | None


class Document(NamedTuple):
    """A text with an id, as rows: a single row, or one per passage."""

    id: Id
    rows: list[IndexRow]


class RowPart(NamedTuple):
    """Rows that are read together."""

    read: int  # number of rows, including those without text
    rows: RowBatch  # rows with text; whole documents in an index of passages


class FileRows:
    """Rows of files, in batches; may be read several times."""

    def __init__(self, files: Files, how: FileReading, fields: Mapping[str, str] | None) -> None:
        """``fields``: types of the index's metadata fields."""
        self._how = how
        self._named = [files] if isinstance(files, str | Path) else list(files)
        self.shows_bars = how.show_progress_bar
        self.blank = 0  # rows without text in the last reading
        self._came = 0  # rows with text
        self._source = Source(
            files_of(self._named, Counter()),
            how.source.columns,
            how.source.id_column,
            how.header,
            how.skip_bad_rows,
            metadata_columns=how.source.metadata_columns,
        )
        self._total = count_rows(self._source.files) if how.show_progress_bar else None
        if how.source.metadata_columns:
            with self.bar("Reading metadata") as progress:
                self._source = self._source.with_kinds(fields or {}, progress.update)

    def bar(self, what: str) -> Any:
        """A bar over one reading of the rows."""

        return tqdm(total=self._total, desc=what, unit="row", disable=not self._how.show_progress_bar)

    def parts(self) -> Iterator[RowPart]:
        """Read all rows once."""
        how = self._how.source
        self._source, self.blank, self._came = replace(self._source), 0, 0
        for shard in self._source.shards(READ):
            kept = [i for i, text in enumerate(shard.texts) if text]
            self.blank += len(shard.texts) - len(kept)
            self._came += len(kept)
            yield RowPart(
                len(shard.texts),
                RowBatch(
                    [shard.texts[i] for i in kept],
                    None if how.id_column is None and not how.passages else [shard.ids[i] for i in kept],
                    [shard.metadata[i] for i in kept] if how.metadata_columns else None,
                ),
            )

    @property
    def skipped(self) -> int:
        """Bad rows in the last reading."""
        return len(self._source.skipped)

    def check_any(self) -> None:
        """Raise a `DataError` if no row of the last reading has a text."""
        if not self._came:
            raise DataError(f"{', '.join(map(str, self._named))}: no row is left ({self.skipped} skipped)")

    def counts(self, rows: int, documents: int) -> IndexCounts:
        """Counts of the last reading; raises an error if no row is left, as in `check_any`."""
        self.check_any()
        return IndexCounts(len(self._source.files), rows, self.blank, self.skipped, documents)


def documents_of(rows: RowBatch, model: SimCSE, source: RowSource) -> list[Document]:
    """Each text with its rows: one row, or its passages."""
    assert rows.ids is not None
    metadata = rows.metadata or [None] * len(rows.texts)
    if not source.passages:
        return [
            Document(id_, [IndexRow(id_, text, about)])
            for id_, text, about in zip(rows.ids, rows.texts, metadata, strict=True)
        ]
    passages = cut_passages(rows.texts, model, language=source.language)
    return [
        Document(
            id_,
            [
                IndexRow(
                    f"{id_}#{number}",
                    text,
                    {**(about or {}), "document": id_, "passage": number, "passages": len(parts)},
                )
                for number, text in enumerate(parts)
            ],
        )
        for id_, parts, about in zip(rows.ids, passages, metadata, strict=True)
    ]


def passages_of(documents: RowBatch, model: SimCSE, source: RowSource) -> RowBatch:
    """One row per passage of the documents."""
    rows = [row for document in documents_of(documents, model, source) for row in document.rows]
    return RowBatch([row.text for row in rows], [row.id for row in rows], [row.metadata for row in rows])
