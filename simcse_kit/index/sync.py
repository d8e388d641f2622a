"""Makes an index equal to texts by id: compares content, and encodes and commits only differences."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import apsw
import numpy as np

from simcse_kit.encoder.cache import cache_folder
from simcse_kit.encoder.call import listening, moving, say_cut
from simcse_kit.errors import IndexChangedError, SearchIndexError
from simcse_kit.files import owned
from simcse_kit.index.incoming import COMMITTED, READ, Document, RowBatch, RowPart, documents_of
from simcse_kit.index.models import fingerprint_of
from simcse_kit.index.row_source import RowSource
from simcse_kit.model import SimCSE
from simcse_kit.search import BaseCollection, IndexRow
from simcse_kit.search.changing import commit_change
from simcse_kit.search.checks import as_json, checked_ids
from simcse_kit.types import Id, Vectors
from simcse_kit.wording import counted

MAX_DELETE = 0.2  # largest share of missing rows; more indicates a broken file
OnConflict = Literal["error", "skip", "update"]


class SyncCounts(NamedTuple):
    """Result of a synchronisation, in sentences, or in documents if the index holds passages."""

    added: int = 0
    changed: int = 0
    deleted: int = 0
    unchanged: int = 0
    encoded: int = 0  # rows
    blank: int = 0  # rows of files without text, left out
    skipped: int = 0  # rows of files that cannot be used; only with skip_bad_rows


@dataclass(frozen=True, kw_only=True)
class SyncSettings:
    """What to do with existing rows, and with rows that are missing in the files."""

    source: RowSource
    on_conflict: OnConflict = "update"
    delete_missing: bool = False
    max_delete: float = MAX_DELETE
    batch_size: int | None = None

    def __post_init__(self) -> None:
        if self.on_conflict not in ("error", "skip", "update"):
            raise SearchIndexError(f"on_conflict must be error, skip or update; got {self.on_conflict!r}")
        if not 0 <= self.max_delete <= 1:
            raise SearchIndexError(f"max_delete must be a share of the rows, from 0 to 1; got {self.max_delete}")


class Compared(NamedTuple):
    """Documents compared with what an index holds under their ids."""

    new: list[Document]
    changed: list[Document]
    unchanged: int


def sync_parts(
    collection: BaseCollection,
    model: SimCSE,
    parts: Callable[[], Iterator[RowPart]],
    how: SyncSettings,
    bar: Callable[[str], Any] = lambda what: nullcontext(_NoBar()),
) -> SyncCounts:
    """Put documents, which are read in parts, into an index, and commit; see `SentenceIndex.sync`.

    ``parts`` may be called twice. Without a difference there is no commit.
    """
    made_with = fingerprint_of(model, collection.model)
    collection.refresh()
    missing: list[Id] = []
    if how.delete_missing:
        with bar("Comparing ids") as progress:
            missing = _missing(collection.now(), _moved(parts(), progress), how)
    batch = _Batch(collection, how, made_with)
    seen, truncated, unchanged = _Seen(), 0, 0
    with bar("Updating") as progress:
        for read, rows in parts():
            seen.add(rows.ids or [], how.source.passages)
            found = compare_documents(collection.now(), documents_of(rows, model, how.source), how.source.passages)
            wanted = found.new + (found.changed if how.on_conflict == "update" else [])
            unchanged += len(rows.texts) - len(wanted)
            if how.on_conflict == "error" and (taken := len(rows.texts) - len(found.new)):
                new = {document.id for document in found.new}
                first = next(id_ for id_ in rows.ids or [] if id_ not in new)
                more = f" (and {taken - 1} others)" if taken > 1 else ""
                raise SearchIndexError(
                    f"id {first!r} already exists{more}; to replace rows use --on-conflict update, to keep them skip"
                )
            texts = [row.text for document in wanted for row in document.rows]
            with listening(moving(progress, read, len(texts))) as heard:
                vectors = model.encode_document(texts, batch_size=how.batch_size)
            if not texts:
                progress.update(read)
            truncated += heard.truncated
            batch.add(wanted, vectors)
    batch.commit(missing)
    counts = batch.counts._replace(unchanged=unchanged)
    say_cut(truncated, counts.encoded, model.name, model.max_seq_length)
    return counts


def save_structure(collection: BaseCollection, done: SyncCounts) -> None:
    """Build the first structure of a changed index; if another process commits meanwhile, a later save does it."""
    if collection.folder is not None and (done.encoded or done.deleted):
        with suppress(IndexChangedError):
            collection.save()


def parts_of(rows: RowBatch) -> Callable[[], Iterator[RowPart]]:
    """Rows in memory, in batches."""

    def parts() -> Iterator[RowPart]:
        assert rows.ids is not None
        for at in range(0, len(rows.texts), READ):
            some = slice(at, at + READ)
            metadata = None if rows.metadata is None else rows.metadata[some]
            own = RowBatch(rows.texts[some], rows.ids[some], metadata)
            yield RowPart(len(own.texts), own)

    return parts


def given_rows(texts: list[str], ids: Sequence[Id], metadata: Sequence[Mapping[str, Any] | None] | None) -> RowBatch:
    """A caller's texts, ids and metadata, as an index returns them.

    Raises:
        SearchIndexError: different numbers of texts and ids, an id that occurs twice or is invalid, metadata that are
            not JSON objects.
    """
    if len(ids) != len(texts):
        raise SearchIndexError(f"{len(texts)} texts need {len(texts)} ids; got {len(ids)}")
    _Seen().add(ids, passages=False)
    about = [None if text is None else json.loads(text) for text in as_json(metadata, len(texts))]
    return RowBatch(texts, checked_ids(ids), about)


def compare_documents(now: BaseCollection, documents: Sequence[Document], passages: bool) -> Compared:
    """Which documents are new in an index, and which have other rows there."""
    numbers = _numbers(now, {document.id: len(document.rows) for document in documents}, passages)
    rows = now.fetch([number for own in numbers.values() for number in own])
    new: list[Document] = []
    changed: list[Document] = []
    for document in documents:
        if (own := numbers.get(document.id)) is None:
            new.append(document)
        elif _content(rows[number] for number in own) != _content(document.rows):
            changed.append(document)
    return Compared(new, changed, len(documents) - len(new) - len(changed))


def put_documents(
    writer: BaseCollection,
    documents: Sequence[Document],
    vectors: Vectors,
    passages: bool,
    *,
    on_conflict: OnConflict = "update",
    fingerprint: str | None = None,
) -> SyncCounts:
    """Put documents with their rows' vectors (n, D) into an index, replacing their existing rows."""
    there = _numbers(writer, {document.id: len(document.rows) for document in documents}, passages)
    rows = [row for document in documents for row in document.rows]
    if there and on_conflict == "skip":  # another process was first
        places = [document.id not in there for document in documents for _ in document.rows]
        rows, vectors = [row for row, new in zip(rows, places, strict=True) if new], vectors[np.array(places)]
    elif there and on_conflict == "update":
        gone = writer.fetch([number for own in there.values() for number in own])
        writer.delete([row.id for row in gone.values()])
    metadata = [row.metadata for row in rows]
    writer.add(
        [row.text for row in rows],
        vectors,
        [row.id for row in rows],
        None if all(one is None for one in metadata) else metadata,
        fingerprint=fingerprint,
    )
    changed = len(there) if on_conflict == "update" else 0
    return SyncCounts(added=len(documents) - len(there), changed=changed, encoded=len(rows))


def delete_documents(writer: BaseCollection, ids: Sequence[Id], passages: bool) -> int:
    """Delete documents with all their passages; returns how many existed."""
    there = _numbers(writer, dict.fromkeys(checked_ids(ids), 1), passages)
    gone = writer.fetch([number for own in there.values() for number in own])
    writer.delete([row.id for row in gone.values()])
    return len(there)


@contextmanager
def one_update(place: str | Path | None, uri: str | None = None, *, wait: bool = False) -> Iterator[None]:
    """Lock an index against other updates; ``place=None``: it is in memory. ``uri``: of a Milvus, locked on this
    machine only.

    Raises:
        SearchIndexError: another process updates it and ``wait`` is False.
    """
    if place is None or (uri is None and not Path(place).is_dir()):
        yield  # opening a missing index raises an error
        return
    folder = Path(place)
    if uri is not None:
        server = uri if "://" in uri else str(Path(uri).absolute())
        name = hashlib.sha256(f"{server}\0{place}".encode()).hexdigest()[:16]
        folder = cache_folder() / "updates" / name

    def busy(who: str) -> SearchIndexError:
        return SearchIndexError(f"{place} is being updated by {who}; try again later, or wait: --wait")

    with owned(folder, busy, wait=wait):
        yield


class _Batch:
    """Documents with vectors that are committed together."""

    def __init__(self, collection: BaseCollection, how: SyncSettings, fingerprint: str) -> None:
        self._collection, self._how, self._fingerprint = collection, how, fingerprint
        self._documents: list[Document] = []
        self._vectors: list[Vectors] = []
        self._rows = 0
        self.counts = SyncCounts()

    def add(self, documents: Sequence[Document], vectors: Vectors) -> None:
        """Collect documents; commits when there are many."""
        if documents:
            self._documents += documents
            self._vectors.append(vectors)
            self._rows += len(vectors)
        if self._rows >= COMMITTED:
            self.commit()

    def commit(self, missing: Sequence[Id] = ()) -> None:
        """Commit them, and delete missing rows; does nothing if there are none of both."""
        if not self._documents and not missing:
            return
        passages = self._how.source.passages

        def change(writer: BaseCollection) -> SyncCounts:
            deleted = writer.found(missing)
            writer.delete(list(deleted))
            if not self._documents:
                return SyncCounts(deleted=_documents_in(deleted, passages))
            if self._how.source.id_column is not None and (writer.source is None or not len(writer)):
                writer.source = self._how.source.kept()
            done = put_documents(
                writer,
                self._documents,
                np.concatenate(self._vectors),
                passages,
                on_conflict=self._how.on_conflict,
                fingerprint=self._fingerprint,
            )
            return done._replace(deleted=_documents_in(deleted, passages))

        done = commit_change(self._collection, change)
        self.counts = SyncCounts(*map(sum, zip(self.counts, done, strict=True)))
        self._documents, self._vectors, self._rows = [], [], 0


class _Seen:
    """Ids seen so far; many are stored on the disk."""

    def __init__(self) -> None:
        self._database = apsw.Connection("")  # a temporary file
        self._database.execute("CREATE TABLE seen (id PRIMARY KEY) WITHOUT ROWID").fetchall()

    def add(self, ids: Sequence[Id], passages: bool) -> None:
        """Raise an error for an id that was already seen."""
        with self._database:
            for id_ in ids:
                key = str(id_) if passages else id_  # prefix of the ids of passages
                self._database.execute("INSERT OR IGNORE INTO seen VALUES (?)", (key,))
                if not self._database.changes():
                    raise SearchIndexError(f"id {id_!r} occurs twice; each id needs a single text")


class _NoBar:
    """A bar that shows nothing."""

    def update(self, count: float = 1) -> None: ...


def _numbers(now: BaseCollection, documents: Mapping[Id, int], passages: bool) -> dict[Id, list[int]]:
    """Numbers of the rows of documents by id; each document has at least that many passages."""
    if not passages:
        return {id_: [number] for id_, number in now.found(list(documents)).items()}
    owners: dict[Id, Id] = {f"{id_}#{number}": id_ for id_, count in documents.items() for number in range(count)}
    found = now.found(list(owners))
    rest: dict[Id, Id] = {}
    for row in now.fetch(list(found.values())).values():  # each row stores their number
        owner = owners[row.id]
        count = (row.metadata or {}).get("passages")
        rest |= {f"{owner}#{number}": owner for number in range(documents[owner], count if type(count) is int else 0)}
    owners |= rest
    numbers: dict[Id, list[int]] = {}
    for id_, number in (found | now.found(list(rest))).items():
        numbers.setdefault(owners[id_], []).append(number)
    return numbers


def _content(rows: Iterable[IndexRow]) -> dict[Id, tuple[str, str]]:
    """A value to compare, by id; JSON distinguishes 1, 1.0 and true."""
    return {row.id: (row.text, json.dumps(row.metadata, sort_keys=True)) for row in rows}


def _missing(now: BaseCollection, parts: Iterator[RowPart], how: SyncSettings) -> list[Id]:
    """Ids of the rows of documents that were not seen.

    Raises:
        SearchIndexError: there are no texts, or more rows are missing than may be deleted.
    """
    live = now.live()
    comes = np.zeros(int(live[-1]) + 1 if len(live) else 0, dtype=bool)
    documents = 0
    for part in parts:
        ids = part.rows.ids or []
        documents += len(ids)
        for numbers in _numbers(now, dict.fromkeys(ids, 1), how.source.passages).values():
            comes[numbers] = True
    gone = live[~comes[live]]
    if len(live) and not documents:
        raise SearchIndexError(
            f"the files have no texts, so the index would be empty ({counted(len(live), 'row')} deleted); are the "
            "files complete?"
        )
    if len(gone) > how.max_delete * len(live):
        raise SearchIndexError(
            f"{len(gone):,} of {counted(len(live), 'row')} ({100 * len(gone) / len(live):.3g} %) are missing and would "
            f"be deleted; the limit is {100 * how.max_delete:.3g} %. Is the file complete? To allow it: --max-delete "
            f"{_share(len(gone), len(live)):g}"
        )
    missing: list[Id] = []
    for at in range(0, len(gone), READ):
        missing += [row.id for row in now.fetch(gone[at : at + READ].tolist()).values()]
    return missing


def _share(part: int, whole: int) -> float:
    """A share in hundredths, rounded up."""
    return -(-100 * part // whole) / 100


def _documents_in(ids: Iterable[Id], passages: bool) -> int:
    return len({str(id_).rpartition("#")[0] for id_ in ids} if passages else set(ids))


def _moved(parts: Iterator[RowPart], bar: Any) -> Iterator[RowPart]:
    for part in parts:
        yield part
        bar.update(part.read)
