"""Files of any size into an index: read, encoded and committed a part at a time."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

from simcse_kit.bars import tqdm
from simcse_kit.data.files import files_of
from simcse_kit.data.source import Source, count_rows
from simcse_kit.encoder.call import listening, moving, say_cut
from simcse_kit.errors import DataError, SearchIndexError
from simcse_kit.files import at_work, make_folder, owned, sync
from simcse_kit.index.models import about_model
from simcse_kit.index.passages import cut_passages
from simcse_kit.index.sentence_index import SentenceIndex
from simcse_kit.model import SimCSE
from simcse_kit.search.address import Address, index_address
from simcse_kit.search.collection import Collection
from simcse_kit.search.commits import clear, one_writer
from simcse_kit.search.kinds import get_kind
from simcse_kit.search.store import is_file
from simcse_kit.search.stores import token_of
from simcse_kit.search.structure import TARGET_RECALL

_READ = 1 << 12  # rows that are encoded at once, and between two steps of the bar
_COMMITTED = 1 << 18  # rows in one commit: what is in memory
_CHANGED = "the files have changed since the build began: build under another name"


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
    """Encode files into a new index in ``folder``, which appears when it is complete; two builds of it at once are not.

    Over Milvus the rows arrive as they are encoded, and until all have the collection opens for nothing else. After a
    failure or a kill the same call goes on: rows that are there are compared with the files, not encoded again.

    Args:
        model: a `SimCSE`, or the name or folder of one.
        files: as `encode_files` takes them: a file of sentences, a folder of them, or several.
        folder: is not there yet, or empty; or the address of a collection of Milvus that is not there yet,
            ``milvus:tickets.db/NAME`` or ``milvus:http://host:19530/NAME``.
        columns: the one column of the text; None finds it, as `simcse_kit.data.read_sentences` does.
        id_column: strings or integers, each once; None numbers the rows from 0.
        metadata_columns: columns that become metadata, to filter by. A column is of one type, decided over all rows:
            integer, float, boolean or text; one of several types stays text, which is said.
        header: whether the first row of `.csv` and `.tsv` files holds names; None finds out.
        skip_bad_rows: leave rows out that cannot be read, and count them.
        passages: cut texts that are longer than the model reads into overlapping passages. A row is a passage then; its
            id is that of its document, # and its number, and its metadata hold ``document``, ``passage`` (from 0) and
            ``passages`` (of the document).
        language: of the texts, for their sentences (ISO 639-1).
        kind: as in `SentenceIndex.build`.
        target_recall: as in `SentenceIndex.build`.
        hybrid: as in `SentenceIndex.build`.
        queries: examples of what will be asked, to tune by, see `SentenceIndex.tune_by`; None: the sentences.
        batch_size: sentences in one forward pass; None: as many as run fastest.
        show_progress_bar: show one.
        store: the old way, with the collection's name as ``folder``; see `SentenceIndex.build`.
        uri: of Milvus, the old way.
        token: of Milvus, the old way.

    Raises:
        DataError: a file or row that cannot be used, or no row is left.
        SearchIndexError: a folder that is not empty or that another process builds, an id that is there twice, or,
            going on over Milvus, other rows than the build began with.
        ModelError: the model cannot be loaded.
        DiskFullError: no space; nothing is left behind.
    """
    how = _Reading(
        columns, id_column, metadata_columns, header, skip_bad_rows, passages, language, batch_size, show_progress_bar
    )
    address = index_address(folder, store, uri, token)
    if address.uri is not None:
        return _build_in_milvus(model, files, address, how, kind, target_recall, hybrid, queries)
    target = Path(os.path.realpath(address.path))
    taken = _taken(address)
    if target.is_dir():
        with one_writer(target, opened=True):
            clear(target)  # of a first save that was killed
    if is_file(target) or (target.is_dir() and any(target.iterdir())):
        raise taken
    with _aside(target) as staging:
        index = SentenceIndex.build(model, [], kind=kind, target_recall=target_recall, hybrid=hybrid)
        index.save(staging)
        if queries is not None:
            index.tune_by(queries)
        counts = _add(index, files, how)
        try:
            os.rename(staging, target)
        except OSError as error:
            if error.errno in (errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR):  # somebody else was first
                raise taken from error
            raise
        sync(target.parent)
    collection = Collection.open(target, trust_remote_code=True)  # a kind of the user's own was given
    return SentenceIndex(index.model, collection), counts


def check_build(files: str | Path | Sequence[str | Path], address: Address, kind: str) -> None:
    """What `build_index` would find wrong with its files, its place and its kind: to ask before a model is loaded."""
    files_of([files] if isinstance(files, str | Path) else list(files), Counter())
    if kind != "auto":
        get_kind(kind)
    if address.uri is None and is_file(Path(os.path.realpath(address.path))):
        raise _taken(address)


def _taken(address: Address) -> SearchIndexError:
    return SearchIndexError(f"{address} is there already and not empty; name a new folder, or add to it")


@contextmanager
def _aside(target: Path) -> Iterator[Path]:
    """A folder beside ``target`` to build in, for this process alone; what a killed build left there goes."""
    work = target.parent / f".{target.name}.building"
    is_file(work)  # an error where its name is too long
    make_folder(target.parent)

    def busy(who: str) -> SearchIndexError:
        return SearchIndexError(f"{target} is being built by {who}; wait until it is there, or name another folder")

    with owned(work, busy):
        try:
            _empty(work)
            yield work / "index"
        finally:
            _empty(work)
    with suppress(OSError):  # the next build has begun
        work.rmdir()


def _empty(work: Path) -> None:
    for path in work.iterdir():
        if not at_work(path):
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _build_in_milvus(
    model: SimCSE | str | Path,
    files: str | Path | Sequence[str | Path],
    address: Address,
    how: _Reading,
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
    index = SentenceIndex(model, collection)
    if queries is not None:
        index.tune_by(queries)
    counts = _add(index, files, how, building=True)
    collection.finish()
    return index, counts


def add_files(
    index: SentenceIndex | str | Path | Address,
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
    trust_remote_code: bool = False,
) -> IndexCounts:
    """Encode files into an index that has a folder, and commit; arguments and errors are those of `build_index`.

    ``index`` may be its address, which is opened with ``trust_remote_code`` (see `SentenceIndex.open`). Many rows are
    several commits, 262,144 rows each, so that memory is bounded.
    """
    if not isinstance(index, SentenceIndex):
        index = SentenceIndex.open(index, trust_remote_code=trust_remote_code)
    if passages and id_column is None and len(index):
        raise SearchIndexError("to add passages to an index that has some, name the documents' ids: --id-column")
    how = _Reading(
        columns, id_column, metadata_columns, header, skip_bad_rows, passages, language, batch_size, show_progress_bar
    )
    return _add(index, files, how)


class _Reading(NamedTuple):
    """How files are read and encoded; the arguments of `build_index`."""

    columns: Sequence[str] | None
    id_column: str | None
    metadata_columns: Sequence[str]
    header: bool | None
    skip_bad_rows: bool
    passages: bool
    language: str
    batch_size: int | None
    show_progress_bar: bool

    def of_the_rows(self) -> list[Any]:
        """What decides which rows there are."""
        return [self.columns, self.id_column, self.metadata_columns, self.header, self.passages, self.language]


def _add(
    index: SentenceIndex, files: str | Path | Sequence[str | Path], how: _Reading, *, building: bool = False
) -> IndexCounts:
    """Add files; ``building``: the index is made of them and may have the first rows, and every step is committed."""
    named = [files] if isinstance(files, str | Path) else list(files)
    tally: Counter[str] = Counter()
    metadata_columns = tuple(how.metadata_columns)
    source = Source(
        files_of(named, tally),
        how.columns,
        how.id_column,
        how.header,
        how.skip_bad_rows,
        metadata_columns=metadata_columns,
    )
    total = count_rows(source.files) if how.show_progress_bar else None
    if metadata_columns:
        with tqdm(total=total, desc="Reading metadata", unit="row", disable=not how.show_progress_bar) as progress:
            source = source.with_kinds(index.fields or {}, progress.update)
    there = len(index) if building else 0
    pending = truncated = 0
    with tqdm(total=total, desc="Indexing", unit="row", disable=not how.show_progress_bar) as progress:
        for shard in source.shards(_READ):
            kept = [i for i, text in enumerate(shard.texts) if text]
            rows = _Rows(
                [shard.texts[i] for i in kept],
                None if how.id_column is None and not how.passages else [shard.ids[i] for i in kept],
                [shard.metadata[i] for i in kept] if metadata_columns else None,
            )
            if how.passages:
                tally["documents"] += len(kept)
                rows = _cut(rows, index.model, how.language)
            new = rows
            if building:
                new = _not_there(index, rows, tally["rows"], there)
            with listening(moving(progress, len(shard.texts), len(new.texts))) as heard:
                index.add(*new, batch_size=how.batch_size)
            truncated += heard.truncated
            tally.update(rows=len(rows.texts), blank=len(shard.texts) - len(kept))
            pending += len(new.texts)
            if pending >= _COMMITTED or (building and pending):
                index.save(structure=False)
                pending = 0
            if not new.texts:
                progress.update(len(shard.texts))
    if not tally["rows"]:
        raise DataError(f"{', '.join(map(str, named))}: no row is left ({len(source.skipped)} skipped)")
    if tally["rows"] < there:
        raise SearchIndexError(f"the files have {tally['rows']} rows, and this build had {there} already; {_CHANGED}")
    say_cut(truncated, tally["rows"], index.model.name, index.model.max_seq_length)
    index.save(show_progress_bar=how.show_progress_bar)
    return IndexCounts(len(source.files), tally["rows"], tally["blank"], len(source.skipped), tally["documents"])


class _Rows(NamedTuple):
    """What `SentenceIndex.add` takes."""

    texts: list[str]
    ids: list[int | str] | None
    metadata: list[dict[str, Any]] | None


def _not_there(index: SentenceIndex, rows: _Rows, first: int, there: int) -> _Rows:
    """The rows, of which the first has the number ``first``, that are behind the ``there`` rows of a build.

    Those that are there must be the same; a file that has changed since is an error.
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
            raise SearchIndexError(f"rows {first} to {first + count} are not those that were read before; {_CHANGED}")
    return _Rows(rows.texts[count:], list(ids[count:]), None if rows.metadata is None else rows.metadata[count:])


def _cut(documents: _Rows, model: SimCSE, language: str) -> _Rows:
    """A row for each passage of documents."""
    rows = _Rows([], [], [])
    assert documents.ids is not None
    for number, parts in enumerate(cut_passages(documents.texts, model, language=language)):
        document = documents.ids[number]
        about = {} if documents.metadata is None else documents.metadata[number]
        for passage, text in enumerate(parts):
            rows.texts.append(text)
            rows.ids.append(f"{document}#{passage}")  # type: ignore[union-attr]
            rows.metadata.append(  # type: ignore[union-attr]
                about | {"document": document, "passage": passage, "passages": len(parts)}
            )
    return rows
