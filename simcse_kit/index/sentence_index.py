"""`SentenceIndex`: sentences in, similar sentences out, in a folder that knows its model."""

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
"""Sequence of N JSON objects (Mapping, or None for a sentence without), a table with N rows, or None."""


def checked_list(sentences: Sequence[str]) -> list[str]:
    """The strings as a list; one string is an error."""
    if isinstance(sentences, str):
        raise TypeError("an index takes a list of sentences, not one string; for one sentence, give [sentence]")
    return checked_texts(sentences)


class SentenceIndex(IndexReader):
    """Semantic search over sentences; make one with `build` or `open`.

    `add`, `update` and `delete` change memory, `save` commits to the folder; a commit never harms the one before it.
    RowBatch have ids, all integers or all strings, and, where one wants, metadata: a JSON object, to filter by.
    """

    def __init__(self, model: SimCSE, collection: BaseCollection) -> None:
        super().__init__(model, collection)
        self._place: Address | None = None  # of the first save, where none is named then

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
            metadata: a JSON object for each sentence, or None; or a table (DataFrame) with a row for each. Its missing
                cells are left out, and its dates are stored as ISO 8601 text.
            kind: how it is searched once it is saved, one of `simcse_kit.search.KINDS` or a FAISS factory string; auto
                is exact up to 20,000 sentences, then pq, or int8 where pq does not find the target.
            target_recall: of the 10 nearest, the share that a search should find; `info` says what was measured.
            hybrid: keep keywords beside the vectors, for ``search(..., mode="hybrid")`` and ``mode="keyword"``.
            batch_size: sentences in one forward pass; None: as many as run fastest.
            show_progress_bar: show one.
            folder: where `save` puts it: a folder, ``milvus:tickets.db/NAME`` (a file of Milvus Lite) or
                ``milvus:http://host:19530/NAME``; None: as `save` is told. Milvus's token is the environment variable
                MILVUS_TOKEN.
            store: "milvus" is the old way to say so; ``folder`` replaces it.
            uri: of Milvus, the old way.
            token: of Milvus, the old way.

        Raises:
            ModelError: the model cannot be loaded.
            SearchIndexError: ids that are not distinct, or integers and strings mixed; metadata that is no object; a
                kind that does not exist.
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
        """Open the last commit of a folder; ``model`` None loads the one that the manifest names.

        ``folder`` may be the address of a collection of Milvus, see `build`. ``store``, ``uri`` and ``token`` are the
        old way, with the collection's name as ``folder``.
        ``device``, ``backend``, ``dtype`` and ``local_files_only`` are those of `SimCSE`, for a model that is loaded.
        ``trust_remote_code``: run code that the model brings, or that the index names as its kind, module:attribute.

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
        """Encode sentences and add them, in memory; `save` commits. ``ids`` as in `build`, going on where None.

        Raises:
            SearchIndexError: an id that is taken or of another type, or a model that has changed since.
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
        """Put sentences and metadata in the place of those with these ids, in memory; `save` commits.

        Raises:
            SearchIndexError: an id that is not there, or a model that has changed since.
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
        """Delete the sentences with these ids, or those that meet a filter, in memory; `save` commits.

        Returns how many; an id that is not there is a `SearchIndexError`, and nothing is deleted then, unless that is
        ``missing_ok``.
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
        """Make the index equal to sentences under their ids, and commit where it has a folder.

        Text and metadata are compared with what is stored: what is new is added, what has changed is replaced, and only
        that is encoded. An index of passages takes whole documents, whose passages are replaced together. Without a
        difference there is no commit. `sync_files` does the same with files.

        Args:
            sentences: N texts.
            ids: of each, as in `build`.
            metadata: a JSON object for each, or None, which replaces what is stored.
            delete_missing: delete all others too.
            max_delete: share of the rows that may be missing; more is an error, and nothing is changed.
            wait: for another update of this index; otherwise it is an error.
            batch_size: sentences in one forward pass; None: as many as run fastest.

        Raises:
            SearchIndexError: an id that is there twice, too much is missing, another process updates the index.
            IndexChangedError: the index is of another model by now.
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
        """What `sync` would add or replace; `put_vectors` takes it."""
        source = RowSource.of(self._collection)
        rows = given_rows(checked_list(sentences), ids, metadata)
        return compare_documents(self._collection.now(), documents_of(rows, self.model, source), source.passages)

    def put_vectors(
        self, documents: Sequence[Document], vectors: Vectors, *, fingerprint: str | None = None
    ) -> SyncCounts:
        """Put documents of `compare` in the place of those with their ids, in memory; `save` commits.

        ``vectors``: (n, D), of all rows of the documents, as `add_vectors` takes them.
        """
        passages = RowSource.of(self._collection).passages
        return put_documents(self._collection, documents, vectors, passages, fingerprint=fingerprint)

    def as_ids(self, texts: Sequence[str]) -> list[int | str]:
        """Ids of `sync` that are written as text: integers where the index has such ids, else a `SearchIndexError`."""
        passages = RowSource.of(self._collection).passages
        return list(texts) if passages else self._collection.as_ids(texts)

    def delete_documents(self, ids: Sequence[int | str]) -> int:
        """Delete documents, of an index of passages with all of their passages, in memory; returns how many there were.

        An id that is not there is no error.
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
        """Commit to ``folder`` (None: where it was opened or saved last), at one instant; returns the folder.

        ``folder`` may be an address as in `build`: of Milvus, the rows are copied there, and the index is that one from
        now on. Of an index in Milvus it may be another collection's name; of Milvus, the name is returned.

        ``structure`` False leaves the making of a first structure (see ``kind`` of `build`) to a later commit;
        ``show_progress_bar`` shows bars while one is made.

        Raises:
            SearchIndexError: no folder named yet, another index there, or a commit by somebody else since opening.
            DiskFullError: no space; the last commit stays.
        """
        if folder is None:
            folder = self._place if self._collection.folder is None else None
        path = None
        if folder is not None:
            self._collection, path = at_address(self._collection, folder)
        with making_shown(show_progress_bar):
            return self._collection.save(path, structure=structure)

    def tune_by(self, queries: Sequence[str]) -> None:
        """Let the structure that the next `save` or `compact` makes find the target recall for queries like these.

        Some hundred real queries are best where they differ from the sentences: in length, in style. Otherwise it is
        tuned by sentences of the index.

        Raises:
            SearchIndexError: no query, or a model that has changed since.
        """
        fingerprint_of(self.model, self._collection.model)
        texts = checked_texts(queries)
        if not texts:
            raise SearchIndexError("to tune by queries takes at least one")
        self._collection.queries = normalized(np.array(self.model.encode_query(texts), dtype=np.float32))

    def compact(self, *, hybrid: bool | None = None, show_progress_bar: bool = False) -> Path:
        """Commit without the deleted sentences, and make the structure again; it takes as long as building did.

        ``hybrid``: with keywords from now on, or without; None: as it is. Nothing is encoded.
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
        """As `add`, with vectors (N, D) that the index's model gave; returns the ids.

        ``fingerprint``: as in `search_vectors`.
        """
        return self._collection.add(sentences, vectors, ids, metadata, fingerprint=fingerprint)

    def refresh(self, *, discard: bool = False) -> bool:
        """Read the last commit where somebody else has made one since; whether it has.

        Unsaved changes prevent it, unless they are to be thrown away (``discard``).

        Raises:
            IndexChangedError: the index in that place is of another model now, or gone. This one stays as it was, and
                still answers; `reopened` is the one that is there.
        """
        return self._collection.refresh(discard=discard)

    def reopened(self, models: Sequence[SimCSE] = ()) -> SentenceIndex:
        """The index that is in its place now, with its model, which may be another one by now.

        The model is this one's, one of ``models``, or is loaded from the disk as this one's was: nothing is downloaded,
        and no code that an index or a model brings is run.

        Raises:
            SearchIndexError: no index there, or a model that cannot be loaded in this way.
        """
        collection = self._collection.reopened()
        return SentenceIndex(model_on_disk(collection.model, str(collection.folder), [self.model, *models]), collection)

    def commit(self, change: Callable[[SentenceIndex], Result]) -> Result:
        """Make a change and save it: both, or neither where anything fails; returns what ``change`` returns.

        ``change`` gets the index as the last commit has it, to add to, update and delete from. It is called again where
        somebody else commits in between. Until the end, searches of this index are without the change. For one sentence
        more: ``index.commit(lambda now: now.add([sentence]))``.

        Raises:
            IndexChangedError: the index is of another model by now, or others commit all the time.
            SearchIndexError, DiskFullError: as of ``change`` and `save`.
        """
        return commit_change(self._collection, lambda writer: change(SentenceIndex(self.model, writer)))
