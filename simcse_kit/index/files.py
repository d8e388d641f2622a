"""Files into an existing index: added, or compared with it by id."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from simcse_kit.errors import SearchIndexError
from simcse_kit.index.build import add_rows
from simcse_kit.index.incoming import FileReading, FileRows, Files, IndexCounts, RowPart
from simcse_kit.index.row_source import check_ids, columns_remembered, settled_source
from simcse_kit.index.sentence_index import SentenceIndex
from simcse_kit.index.sync import (
    MAX_DELETE,
    OnConflict,
    SyncCounts,
    SyncSettings,
    one_update,
    save_structure,
    sync_parts,
)
from simcse_kit.search.address import Address, parse_address
from simcse_kit.search.making import making_shown
from simcse_kit.wording import counted


def add_files(
    index: SentenceIndex | str | Path | Address,
    files: Files,
    *,
    on_conflict: OnConflict = "error",
    columns: Sequence[str] | None = None,
    id_column: str | None = None,
    metadata_columns: Sequence[str] | None = None,
    header: bool | None = None,
    skip_bad_rows: bool = False,
    passages: bool | None = None,
    language: str | None = None,
    batch_size: int | None = None,
    show_progress_bar: bool = False,
    trust_remote_code: bool = False,
) -> IndexCounts:
    """Encode files into an index that has a folder, and commit. Arguments and errors as in `build_index`.

    ``index`` may be an address; it is opened with ``trust_remote_code`` (see `SentenceIndex.open`). Many rows are
    committed in steps of 262,144, so that memory is bounded.

    Args:
        index: an index, or its address.
        files: as in `build_index`.
        on_conflict: for an id that exists: "error", "skip" (keep the existing row), or "update" (as in `sync_files`).
        columns: None, here and below: the value that the index records, from its build or from the first add with an id
            column.
        id_column: another column than the index's is an error.
        metadata_columns: an empty list: no metadata.
        header: as in `build_index`.
        skip_bad_rows: as in `build_index`.
        passages: another value than the index's is an error.
        language: language of the texts.
        batch_size: as in `build_index`.
        show_progress_bar: show one.
        trust_remote_code: see above.
    """
    if not isinstance(index, SentenceIndex):
        index = SentenceIndex.open(index, trust_remote_code=trust_remote_code)
    if on_conflict != "error":
        check_ids(index._collection, id_column, f"on_conflict {on_conflict} (--on-conflict)")
    source = settled_source(index._collection, columns, id_column, metadata_columns, passages, language)
    how = FileReading(source, header, skip_bad_rows, batch_size, show_progress_bar)
    with columns_remembered(source, columns, id_column, metadata_columns):
        return _added(index, files, how, on_conflict)


def _added(index: SentenceIndex, files: Files, how: FileReading, on_conflict: OnConflict) -> IndexCounts:
    source = how.source
    if source.id_column is not None:
        rows = FileRows(files, how, index.fields)
        done = _synced(index, rows, SyncSettings(source=source, on_conflict=on_conflict, batch_size=how.batch_size))
        documents = done.added + done.changed if source.passages else 0
        return rows.counts(done.encoded, documents)._replace(changed=done.changed, kept=done.unchanged)
    if source.passages and len(index):
        raise SearchIndexError(
            "to add passages to an index that already has some, name the column of the documents' ids with --id-column"
        )
    return add_rows(index, files, how)


def sync_files(
    index: SentenceIndex | str | Path | Address,
    files: Files,
    *,
    delete_missing: bool = False,
    max_delete: float = MAX_DELETE,
    wait: bool = False,
    columns: Sequence[str] | None = None,
    id_column: str | None = None,
    metadata_columns: Sequence[str] | None = None,
    header: bool | None = None,
    skip_bad_rows: bool = False,
    passages: bool | None = None,
    language: str | None = None,
    batch_size: int | None = None,
    show_progress_bar: bool = False,
    trust_remote_code: bool = False,
) -> SyncCounts:
    """Make an index equal to files by id, and commit: new rows are added, changed rows are replaced.

    Text and metadata are compared with the stored ones, and only differences are encoded; the passages of a document
    are replaced together. Equal files make no commit. After a failure or a kill the same call continues. More than
    262,144 changed rows are committed in steps, so that memory is bounded.

    Args:
        index: an index, or its address.
        files: as in `build_index`; ids must come from a column.
        delete_missing: delete rows that the files no longer contain, in the last commit.
        max_delete: largest share of the rows that may be missing; more is an error, and nothing changes.
        wait: wait for another update of this index, instead of an error.
        columns: here and below as in `add_files`.
        id_column: see `add_files`.
        metadata_columns: see `add_files`.
        header: see `add_files`.
        skip_bad_rows: see `add_files`; with ``delete_missing`` a bad row is an error.
        passages: see `add_files`.
        language: see `add_files`.
        batch_size: see `add_files`.
        show_progress_bar: show one.
        trust_remote_code: see `add_files`.

    Raises:
        DataError: a file or row cannot be used, or no row has a text.
        SearchIndexError: no id column, or another one than the index's; an id occurs twice; too many rows are missing;
            another process updates the index.
        IndexChangedError: the index now belongs to another model.
    """
    if isinstance(index, SentenceIndex):
        place, uri = index._collection.folder, index._collection.uri
    else:
        address = parse_address(index)
        place, uri = Path(address.path), address.uri
    with one_update(place, uri, wait=wait):
        if not isinstance(index, SentenceIndex):
            index = SentenceIndex.open(index, trust_remote_code=trust_remote_code)
        index.refresh()  # it may have waited
        check_ids(index._collection, id_column, "comparing files with an index")
        source = settled_source(index._collection, columns, id_column, metadata_columns, passages, language)
        reading = FileReading(source, header, skip_bad_rows, batch_size, show_progress_bar)
        how = SyncSettings(source=source, delete_missing=delete_missing, max_delete=max_delete, batch_size=batch_size)
        with columns_remembered(source, columns, id_column, metadata_columns):
            rows = FileRows(files, reading, index.fields)
            done = _synced(index, rows, how)
    return done._replace(blank=rows.blank, skipped=rows.skipped)


def _synced(index: SentenceIndex, rows: FileRows, how: SyncSettings) -> SyncCounts:
    def parts() -> Iterator[RowPart]:
        yield from rows.parts()
        if how.delete_missing and rows.skipped:
            raise SearchIndexError(
                f"skipped {counted(rows.skipped, 'bad row')}, which would count as missing; correct them, or use no "
                "--delete-missing"
            )
        rows.check_any()

    done = sync_parts(index._collection, index.model, parts, how, rows.bar)
    with making_shown(rows.shows_bars):
        save_structure(index._collection, done)
    return done
