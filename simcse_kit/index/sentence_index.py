"""`SentenceIndex`: a folder of sentences with their model; finds similar sentences."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from simcse_kit.encoder.call import checked_texts
from simcse_kit.errors import SearchIndexError
from simcse_kit.index.incoming import Document, documents_of
from simcse_kit.index.models import about_model, fingerprint_of, model_of, model_on_disk
from simcse_kit.index.reading import IndexReader
from simcse_kit.index.row_source import RowSource
from simcse_kit.index.sync import (
    MAX_DELETE,
    Compared,
    SyncCounts,
    SyncSettings,
    compare_documents,
    delete_documents,
    given_rows,
    one_update,
    parts_of,
    put_documents,
    save_structure,
    sync_parts,
)
from simcse_kit.model import SimCSE
from simcse_kit.search import BaseCollection, new_collection, open_collection
from simcse_kit.search.address import Address, index_address, masked
from simcse_kit.search.changing import commit_change
from simcse_kit.search.making import making_shown
from simcse_kit.search.stores import at_address
from simcse_kit.search.structure import TARGET_RECALL
from simcse_kit.search.vectors import normalized
from simcse_kit.types import Vectors

Result = TypeVar("Result")
Metadata = Any
"""N JSON objects (Mapping, or None for a sentence without metadata), a table with N rows, or None."""


def checked_list(sentences: Sequence[str]) -> list[str]:
    """The strings as a list; a single string raises an error."""
    if isinstance(sentences, str):
        raise TypeError("an index takes a list of sentences, not one string; use [sentence] for a single one")
    return checked_texts(sentences)


class SentenceIndex(IndexReader):
    """Semantic search over sentences; make one with `build` or `open`.

    `add`, `update` and `delete` change memory, `save` commits to the folder; a commit never harms the previous one.
    Rows have ids, all integers or all strings, and optional metadata for filters: JSON objects.
    """

    def __init__(self, model: SimCSE, collection: BaseCollection) -> None:
        super().__init__(model, collection)
        self._place: Address | None = None  # address of the first save, unless it names another

    @classmethod
    def build(
        cls,
        model: SimCSE | str | Path,
        sentences: Sequence[str],
        ids: Sequence[int | str] | None = None,
        metadata: Metadata = None,
        *,
        kind: str = "auto",
        target_recall: float = TARGET_RECALL,
        hybrid: bool = False,
        batch_size: int | None = None,
        show_progress_bar: bool = False,
        folder: str | Path | Address | None = None,
        store: str | None = None,
        uri: str | None = None,
        token: str | None = None,
    ) -> SentenceIndex:
        """Encode sentences into a new index in memory.

        Args:
            model: a `SimCSE`, or the name or folder of one.
            sentences: N texts; equal ones are allowed.
            ids: N distinct integers or N distinct strings; None numbers them from 0.
            metadata: a JSON object or None for each sentence; or a table (DataFrame) with one row per sentence. Missing
                cells are left out, and dates are stored as ISO 8601 text.
            kind: search structure after saving, one of `simcse_kit.search.KINDS` or a FAISS factory string; auto is
                exact up to 20,000 sentences, then pq, or int8 if pq does not reach the target.
            target_recall: share of the 10 nearest that a search should find; `info` gives the measured share.
            hybrid: store keywords too, for ``search(..., mode="hybrid")`` and ``mode="keyword"``.
            batch_size: sentences per forward pass; None: the fastest number.
            show_progress_bar: show one.
            folder: where `save` puts the index: a folder, ``milvus:tickets.db/NAME`` (a file of Milvus Lite) or
                ``milvus:http://host:19530/NAME``; None: the argument of `save`. Milvus's token is the environment
                variable MILVUS_TOKEN.
            store: deprecated, "milvus"; use ``folder``.
            uri: of Milvus, deprecated.
            token: of Milvus, deprecated.

        Raises:
            ModelError: the model cannot be loaded.
            SearchIndexError: ids that are not distinct, or mix integers and strings; metadata that are not objects; an
                unknown kind.
        """
        model = model if isinstance(model, SimCSE) else SimCSE(model)
        collection = new_collection(
            model.get_embedding_dimension(),
            kind,
            target_recall,
            folder,
            hybrid=hybrid,
            store=store,
            uri=uri,
            token=token,
        )
        collection.model = about_model(model)
        index = cls(model, collection)
        index._place = None if folder is None else index_address(folder, store, uri, token)
        index.add(sentences, ids, metadata, batch_size=batch_size, show_progress_bar=show_progress_bar)
        return index

    @classmethod
    def open(
        cls,
        folder: str | Path | Address,
        model: SimCSE | str | Path | None = None,
        *,
        device: str | None = None,
        backend: str = "torch",
        dtype: str = "float32",
        trust_remote_code: bool = False,
        local_files_only: bool = False,
        store: str | None = None,
        uri: str | None = None,
        token: str | None = None,
    ) -> SentenceIndex:
        """Open the last commit of a folder; ``model=None`` loads the model that the manifest names.

        ``folder`` may be the address of a collection of Milvus, see `build`. ``store``, ``uri`` and ``token`` are
        deprecated, with the collection's name as ``folder``. ``device``, ``backend``, ``dtype`` and
        ``local_files_only`` are those of `SimCSE`, for a model that is loaded here. ``trust_remote_code``: run code of
        the model, or of a kind that the index names as module:attribute.

        Raises:
            SearchIndexError: no index there, a damaged file, a newer format, or a model that is not the index's.
        """
        collection = open_collection(folder, trust_remote_code=trust_remote_code, store=store, uri=uri, token=token)
        model = model_of(
            collection.model,
            masked(folder),
            model,
            device=device,
            backend=backend,
            dtype=dtype,
            local_files_only=local_files_only,
            trust_remote_code=trust_remote_code,
        )
        return cls(model, collection)

    def add(
        self,
        sentences: Sequence[str],
        ids: Sequence[int | str] | None = None,
        metadata: Metadata = None,
        *,
        batch_size: int | None = None,
        show_progress_bar: bool = False,
    ) -> None:
        """Encode sentences and add them, in memory; `save` commits. ``ids`` as in `build`; None: the next integers.

        Raises:
            SearchIndexError: an id that exists or has another type, or a model that has changed since.
            TypeError: one string instead of a list.
        """
        made_with, texts, vectors = self._encoded(sentences, batch_size, show_progress_bar)
        self._collection.add(texts, vectors, ids, metadata, fingerprint=made_with)

    def update(
        self,
        sentences: Sequence[str],
        ids: Sequence[int | str],
        metadata: Metadata = None,
        *,
        batch_size: int | None = None,
        show_progress_bar: bool = False,
    ) -> None:
        """Replace the sentences and metadata of these ids, in memory; `save` commits.

        Raises:
            SearchIndexError: a missing id, or a model that has changed since.
            TypeError: one string instead of a list.
        """
        made_with, texts, vectors = self._encoded(sentences, batch_size, show_progress_bar)
        self._collection.update(texts, vectors, ids, metadata, fingerprint=made_with)

    def delete(
        self,
        ids: Sequence[int | str] | None = None,
        *,
        filter: Mapping[str, Any] | None = None,
        missing_ok: bool = False,
    ) -> int:
        """Delete the sentences with these ids, or those that match a filter, in memory; `save` commits.

        Returns their number. Raises a `SearchIndexError` for a missing id and deletes nothing, unless ``missing_ok``.
        """
        return self._collection.delete(ids, filter=filter, missing_ok=missing_ok)

    def sync(
        self,
        sentences: Sequence[str],
        ids: Sequence[int | str],
        metadata: Metadata = None,
        *,
        delete_missing: bool = False,
        max_delete: float = MAX_DELETE,
        wait: bool = False,
        batch_size: int | None = None,
    ) -> SyncCounts:
        """Make the index equal to sentences by id, and commit if it has a folder.

        Text and metadata are compared with the stored ones: new ones are added, changed ones replaced, and only these
        are encoded. An index of passages takes whole documents, whose passages are replaced together. Without a
        difference there is no commit. `sync_files` does the same for files.

        Args:
            sentences: N texts.
            ids: one id per text, as in `build`.
            metadata: a JSON object or None for each text, which replaces the stored one.
            delete_missing: delete all other sentences.
            max_delete: largest share of the rows that may be missing; more is an error, and nothing changes.
            wait: wait for another update of this index, instead of an error.
            batch_size: sentences per forward pass; None: the fastest number.

        Raises:
            SearchIndexError: an id occurs twice, too many rows are missing, or another process updates the index.
            IndexChangedError: the index now belongs to another model.
        """
        collection = self._collection
        rows = given_rows(checked_list(sentences), ids, metadata)
        how = SyncSettings(
            source=RowSource.of(collection),
            delete_missing=delete_missing,
            max_delete=max_delete,
            batch_size=batch_size,
        )
        with one_update(collection.folder, collection.uri, wait=wait):
            done = sync_parts(collection, self.model, parts_of(rows), how)
            save_structure(collection, done)
        return done

    def compare(self, sentences: Sequence[str], ids: Sequence[int | str], metadata: Metadata = None) -> Compared:
        """What `sync` would add or replace; input of `put_vectors`."""
        source = RowSource.of(self._collection)
        rows = given_rows(checked_list(sentences), ids, metadata)
        return compare_documents(self._collection.now(), documents_of(rows, self.model, source), source.passages)

    def put_vectors(
        self, documents: Sequence[Document], vectors: Vectors, *, fingerprint: str | None = None
    ) -> SyncCounts:
        """Add documents of `compare`, or replace those with the same ids, in memory; `save` commits.

        ``vectors``: (n, D), of all rows of the documents, as in `add_vectors`.
        """
        passages = RowSource.of(self._collection).passages
        return put_documents(self._collection, documents, vectors, passages, fingerprint=fingerprint)

    def as_ids(self, texts: Sequence[str]) -> list[int | str]:
        """Parse ids given as text for `sync`: integers if the index has integer ids, else a `SearchIndexError`."""
        passages = RowSource.of(self._collection).passages
        return list(texts) if passages else self._collection.as_ids(texts)

    def delete_documents(self, ids: Sequence[int | str]) -> int:
        """Delete documents with all their passages, in memory; returns how many existed.

        Missing ids raise no error.
        """
        return delete_documents(self._collection, ids, RowSource.of(self._collection).passages)

    def _encoded(
        self, sentences: Sequence[str], batch_size: int | None, show_progress_bar: bool
    ) -> tuple[str, list[str], Vectors]:
        """(fingerprint of the model, texts, vectors)."""
        texts = checked_list(sentences)
        made_with = fingerprint_of(self.model, self._collection.model)
        vectors = self.model.encode_document(texts, batch_size=batch_size, show_progress_bar=show_progress_bar)
        return made_with, texts, vectors

    def save(
        self,
        folder: str | Path | Address | None = None,
        *,
        structure: bool = True,
        show_progress_bar: bool = False,
    ) -> Path:
        """Commit to ``folder`` (None: that of the last open or save), atomically; returns the folder.

        ``folder`` may be an address as in `build`: for Milvus, the rows are copied there, and the index continues
        there. For an index in Milvus it may be another collection's name; then the name is returned.

        ``structure=False`` leaves building a first structure (see ``kind`` of `build`) to a later commit;
        ``show_progress_bar`` shows bars during the build.

        Raises:
            SearchIndexError: no folder is named yet, another index is there, or another process committed since
                opening.
            DiskFullError: the disk is full; the last commit stays.
        """
        if folder is None:
            folder = self._place if self._collection.folder is None else None
        path = None
        if folder is not None:
            self._collection, path = at_address(self._collection, folder)
        with making_shown(show_progress_bar):
            return self._collection.save(path, structure=structure)

    def tune_by(self, queries: Sequence[str]) -> None:
        """Tune the structure of the next `save` or `compact` to the target recall with queries like these.

        A few hundred real queries are best if they differ from the sentences in length or style. Without them,
        sentences of the index are used.

        Raises:
            SearchIndexError: no queries, or a model that has changed since.
        """
        fingerprint_of(self.model, self._collection.model)
        texts = checked_texts(queries)
        if not texts:
            raise SearchIndexError("tuning by queries needs at least one query")
        self._collection.queries = normalized(np.array(self.model.encode_query(texts), dtype=np.float32))

    def compact(self, *, hybrid: bool | None = None, show_progress_bar: bool = False) -> Path:
        """Commit without the deleted sentences, and build the structure again; takes as long as the first build.

        ``hybrid``: with or without keywords; None: no change. Encodes nothing.
        """
        with making_shown(show_progress_bar):
            return self._collection.compact(hybrid=hybrid)

    def add_vectors(
        self,
        sentences: Sequence[str],
        vectors: Vectors,
        ids: Sequence[int | str] | None = None,
        metadata: Metadata = None,
        *,
        fingerprint: str | None = None,
    ) -> list[int | str]:
        """Like `add`, with vectors (N, D) from the index's model; returns the ids.

        ``fingerprint`` as in `search_vectors`.
        """
        return self._collection.add(sentences, vectors, ids, metadata, fingerprint=fingerprint)

    def refresh(self, *, discard: bool = False) -> bool:
        """Read the last commit if another process has made one; returns whether it has.

        Raises an error if there are unsaved changes, unless ``discard`` drops them.

        Raises:
            IndexChangedError: the index at this address now belongs to another model, or was removed. This object stays
                unchanged and still answers; `reopened` gives the new index.
        """
        return self._collection.refresh(discard=discard)

    def reopened(self, models: Sequence[SimCSE] = ()) -> SentenceIndex:
        """The index now at its address, with its model; both may have changed.

        The model is this one's or one of ``models``, or it is loaded from the disk with this one's settings: nothing is
        downloaded, and no code of an index or a model is run.

        Raises:
            SearchIndexError: no index there, or a model that cannot be loaded in this way.
        """
        collection = self._collection.reopened()
        return SentenceIndex(model_on_disk(collection.model, str(collection.folder), [self.model, *models]), collection)

    def commit(self, change: Callable[[SentenceIndex], Result]) -> Result:
        """Make a change and save it: both, or neither if anything fails; returns the result of ``change``.

        ``change`` gets the index with the state of the last commit, to add to, update and delete from. It is called
        again if another process commits meanwhile. Until the end, searches of this index do not see the change. To add
        one sentence: ``index.commit(lambda now: now.add([sentence]))``.

        Raises:
            IndexChangedError: the index now belongs to another model, or others commit all the time.
            SearchIndexError, DiskFullError: errors of ``change`` and `save`.
        """
        return commit_change(self._collection, lambda writer: change(SentenceIndex(self.model, writer)))
