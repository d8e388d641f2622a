"""Builds an index from files of any size: reads, encodes and commits one part at a time."""

from __future__ import annotations

import errno
import hashlib
import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from simcse_kit.data.files import files_of
from simcse_kit.encoder.call import listening, moving, say_cut
from simcse_kit.errors import SearchIndexError
from simcse_kit.files import sync
from simcse_kit.index.aside import aside
from simcse_kit.index.incoming import COMMITTED, FileReading, FileRows, Files, IndexCounts, RowBatch, passages_of
from simcse_kit.index.models import about_model
from simcse_kit.index.row_source import RowSource
from simcse_kit.index.sentence_index import SentenceIndex
from simcse_kit.model import SimCSE
from simcse_kit.search.address import Address, index_address
from simcse_kit.search.collection import Collection
from simcse_kit.search.commits import clear, one_writer
from simcse_kit.search.kinds import get_kind
from simcse_kit.search.store import is_file
from simcse_kit.search.stores import token_of
from simcse_kit.search.structure import TARGET_RECALL
from simcse_kit.wording import counted

_CHANGED = "the files have changed since the build started: build under another name"


def build_index(
    model: SimCSE | str | Path,
    files: Files,
    folder: str | Path | Address,
    *,
    columns: Sequence[str] | None = None,
    id_column: str | None = None,
    metadata_columns: Sequence[str] = (),
    header: bool | None = None,
    skip_bad_rows: bool = False,
    passages: bool = False,
    language: str = "en",
    kind: str = "auto",
    target_recall: float = TARGET_RECALL,
    hybrid: bool = False,
    queries: Sequence[str] | None = None,
    batch_size: int | None = None,
    show_progress_bar: bool = False,
    store: str | None = None,
    uri: str | None = None,
    token: str | None = None,
) -> tuple[SentenceIndex, IndexCounts]:
    """Encode files into a new index in ``folder``, which appears when it is complete. Two builds of it at once raise an
    error.

    In Milvus, rows arrive as they are encoded, and the collection cannot be opened until all have. After a failure or a
    kill the same call continues: existing rows are compared with the files and not encoded again.

    Args:
        model: a `SimCSE`, or the name or folder of one.
        files: as in `encode_files`: a file of sentences, a folder of such files, or several.
        folder: a folder that does not exist, or is empty; or the address of a new collection of Milvus,
            ``milvus:tickets.db/NAME`` or ``milvus:http://host:19530/NAME``.
        columns: the text column; None finds it, as in `simcse_kit.data.read_sentences`.
        id_column: column of unique string or integer ids; None numbers the rows from 0.
        metadata_columns: columns to store as metadata, for filters. The type of a column is decided over all rows:
            integer, float, boolean or text; a column of mixed types becomes text, with a notice.
        header: whether the first row of `.csv` and `.tsv` files holds names; None detects it.
        skip_bad_rows: skip and count rows that cannot be read.
        passages: split texts that are longer than the model's limit into overlapping passages. Then each row is a
            passage; its id is the id of its document, # and its number, and its metadata hold ``document``, ``passage``
            (from 0) and ``passages`` (of the document).
        language: language of the texts, for splitting sentences (ISO 639-1).
        kind: as in `SentenceIndex.build`.
        target_recall: as in `SentenceIndex.build`.
        hybrid: as in `SentenceIndex.build`.
        queries: typical queries for tuning, see `SentenceIndex.tune_by`; None: the sentences.
        batch_size: sentences per forward pass; None: the fastest number.
        show_progress_bar: show one.
        store: deprecated, with the collection's name as ``folder``; see `SentenceIndex.build`.
        uri: of Milvus, deprecated.
        token: of Milvus, deprecated.

    Raises:
        DataError: a file or row cannot be used, or no row is left.
        SearchIndexError: the folder is not empty or another process builds it, an id occurs twice, or, when continuing
            in Milvus, the rows differ from those of the first build.
        ModelError: the model cannot be loaded.
        DiskFullError: the disk is full; nothing is left behind.
    """
    source = RowSource(
        columns=None if columns is None else tuple(columns),
        id_column=id_column,
        metadata_columns=tuple(metadata_columns),
        passages=passages,
        language=language,
    )
    how = FileReading(source, header, skip_bad_rows, batch_size, show_progress_bar)
    address = index_address(folder, store, uri, token)
    if address.uri is not None:
        return _build_in_milvus(model, files, address, how, kind, target_recall, hybrid, queries)
    target = Path(os.path.realpath(address.path))
    taken = _taken(address)
    if target.is_dir():
        with one_writer(target, opened=True):
            clear(target)  # left by a first save that was killed
    if is_file(target) or (target.is_dir() and any(target.iterdir())):
        raise taken
    with aside(target) as staging:
        index = SentenceIndex.build(model, [], kind=kind, target_recall=target_recall, hybrid=hybrid)
        index._collection.source = source.kept()
        index.save(staging)
        if queries is not None:
            index.tune_by(queries)
        counts = add_rows(index, files, how)
        try:
            os.rename(staging, target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):  # another process was first
                raise taken from error
            raise
        sync(target.parent)
    collection = Collection.open(target, trust_remote_code=True)  # a kind given by the user
    return SentenceIndex(index.model, collection), counts


def check_build(files: Files, address: Address, kind: str) -> None:
    """The checks of `build_index` on its files, address and kind, before a model is loaded."""
    files_of([files] if isinstance(files, str | Path) else list(files), Counter())
    if kind != "auto":
        get_kind(kind)
    if address.uri is None and is_file(Path(os.path.realpath(address.path))):
        raise _taken(address)


def _taken(address: Address) -> SearchIndexError:
    return SearchIndexError(f"{address} already exists and is not empty; name a new folder, or add to it")


def _build_in_milvus(
    model: SimCSE | str | Path,
    files: Files,
    address: Address,
    how: FileReading,
    kind: str,
    target_recall: float,
    hybrid: bool,
    queries: Sequence[str] | None,
) -> tuple[SentenceIndex, IndexCounts]:
    from simcse_kit.search.milvus import MilvusCollection

    assert address.uri is not None
    model = model if isinstance(model, SimCSE) else SimCSE(model)
    named = [files] if isinstance(files, str | Path) else list(files)
    asked = [[str(Path(file).absolute()) for file in named], kind, target_recall, how.of_the_rows()]
    asked += ["hybrid"] if hybrid else []
    collection = MilvusCollection.build(
        address.path,
        model.get_embedding_dimension(),
        kind,
        target_recall,
        about_model(model),
        hashlib.sha256(json.dumps(asked).encode()).hexdigest(),
        hybrid=hybrid,
        uri=address.uri,
        token=token_of(address),
    )
    collection.source = how.source.kept()
    index = SentenceIndex(model, collection)
    if queries is not None:
        index.tune_by(queries)
    counts = add_rows(index, files, how, building=True)
    collection.finish()
    return index, counts


def add_rows(index: SentenceIndex, files: Files, how: FileReading, *, building: bool = False) -> IndexCounts:
    """Add files. ``building``: a new index, which may already have the first rows; commits every step."""
    reading = FileRows(files, how, index.fields)
    there = len(index) if building else 0
    came = documents = pending = truncated = 0
    with reading.bar("Indexing") as progress:
        for read, rows in reading.parts():
            if how.source.passages:
                documents += len(rows.texts)
                rows = passages_of(rows, index.model, how.source)
            new = _not_there(index, rows, came, there) if building else rows
            with listening(moving(progress, read, len(new.texts))) as heard:
                index.add(*new, batch_size=how.batch_size)
            truncated += heard.truncated
            came += len(rows.texts)
            pending += len(new.texts)
            if pending >= COMMITTED or (building and pending):
                index.save(structure=False)
                pending = 0
            if not new.texts:
                progress.update(read)
    counts = reading.counts(came, documents)
    if came < there:
        raise SearchIndexError(f"the files have {counted(came, 'row')}, but this build already had {there}; {_CHANGED}")
    say_cut(truncated, came, index.model.name, index.model.max_seq_length)
    index.save(show_progress_bar=how.show_progress_bar)
    return counts


def _not_there(index: SentenceIndex, rows: RowBatch, first: int, there: int) -> RowBatch:
    """The rows after the first ``there`` rows of a build; ``first`` is the number of the first row in ``rows``.

    Rows that the build already has must be equal. Raises an error if a file has changed since.
    """
    ids = list(range(first, first + len(rows.texts))) if rows.ids is None else rows.ids
    count = min(max(0, there - first), len(ids))
    if count:
        expected = [
            (id_, text, None if rows.metadata is None else json.loads(json.dumps(rows.metadata[i])))
            for i, (id_, text) in enumerate(zip(ids[:count], rows.texts, strict=False))
        ]
        try:
            same = [tuple(row) for row in index.get(ids[:count])] == expected
        except SearchIndexError:
            same = False
        if not same:
            raise SearchIndexError(f"rows {first} to {first + count} have changed since they were read; {_CHANGED}")
    return RowBatch(rows.texts[count:], list(ids[count:]), None if rows.metadata is None else rows.metadata[count:])
