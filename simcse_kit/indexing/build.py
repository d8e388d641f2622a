"""Files of any size into an index: read, encoded and committed a part at a time."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from simcse_kit.data.files import files_of
from simcse_kit.data.source import Source, count_rows
from simcse_kit.errors import DataError, SearchIndexError
from simcse_kit.files import sync
from simcse_kit.index import SentenceIndex
from simcse_kit.indexing.passages import cut
from simcse_kit.model import SimCSE
from simcse_kit.search.structure import TARGET_RECALL

_READ = 1 << 12  # rows that are encoded at once, and between two steps of the bar
_COMMITTED = 1 << 18  # rows in one commit: what is in memory


class IndexCounts(NamedTuple):
    """What came in."""

    files: int
    rows: int  # that were added
    blank: int  # rows without text, which are left out
    skipped: int  # rows that could not be used; only with skip_bad_rows
    documents: int = 0  # that the rows are passages of; only with passages


def build_index(
    model: SimCSE | str | Path,
    files: str | Path | Sequence[str | Path],
    folder: str | Path,
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
    batch_size: int | None = None,
    show_progress_bar: bool = False,
) -> tuple[SentenceIndex, IndexCounts]:
    """Encode files into a new index in ``folder``, which appears when it is complete.

    Args:
        model: a `SimCSE`, or the name or folder of one.
        files: as `encode_files` takes them: a file of sentences, a folder of them, or several.
        folder: is not there yet, or empty.
        columns: the one column of the text; None finds it, as `read_sentences` does.
        id_column: strings or integers, each once; None numbers the rows from 0.
        metadata_columns: columns that become metadata, to filter by.
        header: whether the first row of `.csv` and `.tsv` files holds names; None finds out.
        skip_bad_rows: leave rows out that cannot be read, and count them.
        passages: cut texts that are longer than the model reads into overlapping passages. A row is a passage then; its
            id is that of its document, # and its number, and its metadata hold ``document``, ``passage`` (from 0) and
            ``passages`` (of the document).
        language: of the texts, for their sentences (ISO 639-1).
        kind: as in `SentenceIndex.build`.
        target_recall: as in `SentenceIndex.build`.
        batch_size: sentences in one forward pass; None: as many as run fastest.
        show_progress_bar: show one.

    Raises:
        DataError: a file or row that cannot be used, or no row is left.
        SearchIndexError: a folder that is not empty, or an id that is there twice.
        ModelError: the model cannot be loaded.
        DiskFullError: no space; nothing is left behind.
    """
    target = Path(folder).absolute()
    if target.is_file() or (target.is_dir() and any(target.iterdir())):
        raise SearchIndexError(f"{folder} is there already and not empty; name a new folder, or add to it")
    staging = target.parent / f".{target.name}.building"
    shutil.rmtree(staging, ignore_errors=True)  # of one that was killed
    try:
        index = SentenceIndex.build(model, [], kind=kind, target_recall=target_recall)
        index.save(staging)
        counts = add_files(
            index,
            files,
            columns=columns,
            id_column=id_column,
            metadata_columns=metadata_columns,
            header=header,
            skip_bad_rows=skip_bad_rows,
            passages=passages,
            language=language,
            batch_size=batch_size,
            show_progress_bar=show_progress_bar,
        )
        if target.is_dir():
            target.rmdir()
        os.rename(staging, target)
        sync(target.parent)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return SentenceIndex.open(target, index.model), counts


def add_files(
    index: SentenceIndex,
    files: str | Path | Sequence[str | Path],
    *,
    columns: Sequence[str] | None = None,
    id_column: str | None = None,
    metadata_columns: Sequence[str] = (),
    header: bool | None = None,
    skip_bad_rows: bool = False,
    passages: bool = False,
    language: str = "en",
    batch_size: int | None = None,
    show_progress_bar: bool = False,
) -> IndexCounts:
    """Encode files into an index that has a folder, and commit; arguments and errors are those of `build_index`.

    Many rows are several commits, 262,144 rows each, so that memory is bounded.
    """
    from tqdm.auto import tqdm

    if passages and id_column is None and len(index):
        raise SearchIndexError("to add passages to an index that has some, name the documents' ids: --id-column")
    named = [files] if isinstance(files, str | Path) else list(files)
    tally: Counter[str] = Counter()
    source = Source(
        files_of(named, tally), columns, id_column, header, skip_bad_rows, metadata_columns=tuple(metadata_columns)
    )
    total = count_rows(source.files) if show_progress_bar else None
    pending = 0
    with tqdm(total=total, desc="Indexing", unit="row", disable=not show_progress_bar) as progress:
        for shard in source.shards(_READ):
            kept = [i for i, text in enumerate(shard.texts) if text]
            rows = _Rows(
                [shard.texts[i] for i in kept],
                None if id_column is None and not passages else [shard.ids[i] for i in kept],
                [shard.metadata[i] for i in kept] if metadata_columns else None,
            )
            if passages:
                tally["documents"] += len(kept)
                rows = _cut(rows, index.model, language)
            index.add(*rows, batch_size=batch_size)
            tally.update(rows=len(rows.texts), blank=len(shard.texts) - len(kept))
            pending += len(rows.texts)
            if pending >= _COMMITTED:
                index.save(structure=False)
                pending = 0
            progress.update(len(shard.texts))
    if not tally["rows"]:
        raise DataError(f"{', '.join(map(str, named))}: no row is left ({len(source.skipped)} skipped)")
    index.save()
    return IndexCounts(len(source.files), tally["rows"], tally["blank"], len(source.skipped), tally["documents"])


class _Rows(NamedTuple):
    """What `SentenceIndex.add` takes."""

    texts: list[str]
    ids: list[int | str] | None
    metadata: list[dict[str, Any]] | None


def _cut(documents: _Rows, model: SimCSE, language: str) -> _Rows:
    """A row for each passage of documents."""
    rows = _Rows([], [], [])
    assert documents.ids is not None
    for number, parts in enumerate(cut(documents.texts, model, language=language)):
        document = documents.ids[number]
        about = {} if documents.metadata is None else documents.metadata[number]
        for passage, text in enumerate(parts):
            rows.texts.append(text)
            rows.ids.append(f"{document}#{passage}")  # type: ignore[union-attr]
            rows.metadata.append(  # type: ignore[union-attr]
                about | {"document": document, "passage": passage, "passages": len(parts)}
            )
    return rows
