"""Rebuilds an index with another model: rows are encoded beside it, then replaced in one commit."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from simcse_kit.bars import tqdm
from simcse_kit.errors import SearchIndexError, say_once
from simcse_kit.index.aside import aside
from simcse_kit.index.incoming import READ, RowBatch, RowPart
from simcse_kit.index.models import about_model
from simcse_kit.index.row_source import RowSource
from simcse_kit.index.sentence_index import SentenceIndex
from simcse_kit.index.sync import SyncSettings, one_update, sync_parts
from simcse_kit.model import SimCSE
from simcse_kit.search import BaseCollection
from simcse_kit.search.address import Address, index_address
from simcse_kit.search.collection import Collection
from simcse_kit.search.exchanging import exchange_rows
from simcse_kit.search.making import making_shown

_ROUNDS = 3  # catch-up rounds after commits of other writers; then writers wait


def rebuild_index(
    index: str | Path | Address,
    model: SimCSE | str | Path,
    *,
    queries: Sequence[str] | None = None,
    batch_size: int | None = None,
    wait: bool = False,
    show_progress_bar: bool = False,
    trust_remote_code: bool = False,
) -> SentenceIndex:
    """Encode all rows of an index again with another model; the result is one commit of the same folder.

    The new rows are built beside the index, which can be searched and changed until the end. Commits of other writers
    meanwhile are encoded too. At the end these writers wait for a moment and get an `IndexChangedError`, because the
    index then belongs to another model. A running server follows automatically. After a failure or a kill the index is
    unchanged.

    Args:
        index: a folder.
        model: a `SimCSE`, or the name or folder of one.
        queries: typical queries for tuning, see `SentenceIndex.tune_by`; None: the sentences.
        batch_size: sentences per forward pass; None: the fastest number.
        wait: wait for another update of this index, instead of an error.
        show_progress_bar: show one.
        trust_remote_code: as in `SentenceIndex.open`.

    Raises:
        SearchIndexError: no index there, an index in Milvus or already of this model, or another process updates it.
        ModelError: the model cannot be loaded.
        DiskFullError: the disk is full; the index is unchanged.
    """
    target = check_rebuild(index)
    with one_update(target, wait=wait):
        old = Collection.open(target, trust_remote_code=trust_remote_code)
        encoder = model if isinstance(model, SimCSE) else SimCSE(model, trust_remote_code=trust_remote_code)
        if about_model(encoder)["fingerprint"] == old.model.get("fingerprint"):
            raise SearchIndexError(f"{target} already uses the model {encoder.name}")
        with aside(Path(os.path.realpath(target))) as staging, making_shown(show_progress_bar):
            made = SentenceIndex.build(
                encoder,
                [],
                kind=old.kind,
                target_recall=old.target_recall,
                hybrid=old.keywords is not None,
                folder=staging,
            )
            made.save()
            if queries is not None:
                made.tune_by(queries)
            collection = made._collection
            assert isinstance(collection, Collection)

            def follow() -> None:
                _copy(old, collection, encoder, batch_size, show_progress_bar)
                collection.compact()

            follow()
            for _ in range(_ROUNDS):
                if not old.refresh():
                    break
                follow()
            _say_tuning(old, queries)
            exchange_rows(old, collection, follow)
        return made


def check_rebuild(index: str | Path | Address) -> Path:
    """The folder of an index that `rebuild_index` accepts; checks it before a model is loaded."""
    address = index_address(index)
    if address.uri is not None:
        raise SearchIndexError(
            f"{address} is in Milvus, where all rows cannot change at one instant: build another collection "
            "with the new model, and search that one instead"
        )
    return Path(address.path).absolute()


def _copy(
    old: BaseCollection, made: BaseCollection, encoder: SimCSE, batch_size: int | None, show_progress_bar: bool
) -> None:
    """Apply the current state of an index to a collection of another model."""
    now = old.now()

    def parts() -> Iterator[RowPart]:
        rows = (row for row, _ in now.rows())
        while some := list(islice(rows, READ)):
            yield RowPart(
                len(some),
                RowBatch([row.text for row in some], [row.id for row in some], [row.metadata for row in some]),
            )

    def bar(what: str) -> Any:
        return tqdm(total=len(now), desc=what, unit="row", disable=not show_progress_bar)

    how = SyncSettings(source=RowSource(), delete_missing=True, max_delete=1, batch_size=batch_size)
    sync_parts(made, encoder, parts, how, bar)


def _say_tuning(old: Collection, queries: Sequence[str] | None) -> None:
    structure = old.info().structure
    if queries is None and structure is not None and structure.given:
        say_once(
            f"{old.folder} was tuned with your queries and is now tuned with its own rows; to use your queries "
            "again: simcse-kit index compact --queries FILE"
        )
