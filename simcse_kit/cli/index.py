"""``simcse-kit index`` and ``simcse-kit search``."""

from __future__ import annotations

import json
from typing import Annotated, Any, Literal

import typer

from simcse_kit.cli.options import (
    FILE_HELP,
    BackendOption,
    BatchSize,
    Columns,
    Device,
    Dtype,
    Header,
    Pooling,
    SkipBadRows,
    TrustIndex,
    TrustRemoteCode,
    columns_of,
)
from simcse_kit.parts import is_named
from simcse_kit.search.address import index_address, masked
from simcse_kit.search.kinds import KINDS, get_kind

Index = Annotated[
    str, typer.Argument(help="A folder, milvus:FILE.db/NAME, or milvus:http://HOST:19530/NAME.", metavar="INDEX")
]
Store = Annotated[Literal["folder", "milvus"] | None, typer.Option(help="The old way of an address.", hidden=True)]
Uri = Annotated[str | None, typer.Option(help="Of Milvus, the old way.", hidden=True, metavar="URI")]
Token = Annotated[str | None, typer.Option(help="Of Milvus, the old way.", hidden=True, metavar="TOKEN")]
File = Annotated[str, typer.Argument(help=FILE_HELP[:-1] + ", or a folder of such files.", metavar="FILE")]
IdColumn = Annotated[
    str | None,
    typer.Option(help="Column of ids, strings or integers, each once. Default: numbers from 0.", metavar="NAME"),
]
MetadataColumns = Annotated[
    str | None, typer.Option(help="Columns to keep beside the text, for search --filter: lang,year.", metavar="NAMES")
]
Passages = Annotated[
    bool,
    typer.Option(
        "--passages",
        help="Cut long texts into overlapping passages, which are found one by one, as ID#0, ID#1, ...; otherwise what "
        "the model does not read is cut off, and counted.",
    ),
]
Language = Annotated[str, typer.Option(help="Of the texts, for --passages: en, ko, de, ...")]
Filter = Annotated[
    str | None,
    typer.Option(help='Conditions on the metadata, as JSON: {"lang": "en", "year": {"$gte": 2020}}.', metavar="JSON"),
]
Queries = Annotated[
    str | None,
    typer.Option(help="Examples of what will be asked, to tune --target-recall by. " + FILE_HELP, metavar="FILE"),
]
Model = Annotated[str | None, typer.Option(help="The index's model, where it has moved. Default: as recorded.")]


def build_index_command(
    model: Annotated[str, typer.Argument(help="Folder or hub name of the model.", metavar="MODEL")],
    file: File,
    index: Index,
    columns: Columns = None,
    id_column: IdColumn = None,
    metadata_columns: MetadataColumns = None,
    header: Header = None,
    skip_bad_rows: SkipBadRows = False,
    passages: Passages = False,
    language: Language = "en",
    kind: Annotated[
        str,
        typer.Option(
            help=f"How it is searched: {', '.join(KINDS.names())} (all but flat find candidates, whose scores are "
            "exact), auto (by the number of sentences), or a FAISS factory string.",
            autocompletion=lambda: ["auto", *KINDS.names()],
        ),
    ] = "auto",
    target_recall: Annotated[
        float, typer.Option(help="Share of the 10 nearest that a search should find.", min=0.01, max=1)
    ] = 0.99,
    queries: Queries = None,
    pooling: Pooling = None,
    batch_size: BatchSize = None,
    device: Device = None,
    backend: BackendOption = "torch",
    dtype: Dtype = "float32",
    trust_remote_code: TrustRemoteCode = False,
    store: Store = None,
    uri: Uri = None,
    token: Token = None,
) -> None:
    """Encode the sentences of FILE into a new index.

    Example: simcse-kit index build all-MiniLM-L6-v2 tickets.csv tickets-index --columns text --metadata-columns lang
    """
    from simcse_kit.cli.console import escaped, out
    from simcse_kit.index import build_index
    from simcse_kit.index.build import check_build
    from simcse_kit.model import SimCSE

    address = index_address(index, store, uri, token)
    check_build(file, address, kind)
    examples = _queries_of(queries)
    encoder = SimCSE(
        model, pooling=pooling, device=device, backend=backend, dtype=dtype, trust_remote_code=trust_remote_code
    )
    built, counts = build_index(
        encoder,
        file,
        address,
        columns=columns_of(columns),
        id_column=id_column,
        metadata_columns=columns_of(metadata_columns) or (),
        header=header,
        skip_bad_rows=skip_bad_rows,
        passages=passages,
        language=language,
        kind=kind,
        target_recall=target_recall,
        queries=examples,
        batch_size=batch_size,
        show_progress_bar=True,
    )
    console = out()
    what = f"passages of {counts.documents:,} documents" if passages else "sentences"
    console.print(f"{len(built):,} {what} indexed in {escaped(masked(index))}{_left_out(counts)}")
    structure = built.info().structure
    if structure is not None:
        console.print(f"{structure.kind}: finds {structure.recall:.3f} of the 10 nearest")
    trust = " --trust-remote-code" if trust_remote_code or is_named(kind) else ""
    console.print(f'next: simcse-kit search {escaped(address)} "your question"{trust}', style="dim")


def add_to_index(
    index: Index,
    file: File,
    columns: Columns = None,
    id_column: IdColumn = None,
    metadata_columns: MetadataColumns = None,
    header: Header = None,
    skip_bad_rows: SkipBadRows = False,
    passages: Passages = False,
    language: Language = "en",
    model: Model = None,
    batch_size: BatchSize = None,
    device: Device = None,
    backend: BackendOption = "torch",
    dtype: Dtype = "float32",
    trust_remote_code: TrustIndex = False,
    store: Store = None,
    uri: Uri = None,
    token: Token = None,
) -> None:
    """Encode the sentences of FILE and add them to an index.

    Example: simcse-kit index add tickets-index new-tickets.csv --columns text
    """
    from simcse_kit.cli.console import escaped, out
    from simcse_kit.index import add_files
    from simcse_kit.index.sentence_index import SentenceIndex

    opened = SentenceIndex.open(
        index_address(index, store, uri, token),
        model,
        device=device,
        backend=backend,
        dtype=dtype,
        trust_remote_code=trust_remote_code,
    )
    counts = add_files(
        opened,
        file,
        columns=columns_of(columns),
        id_column=id_column,
        metadata_columns=columns_of(metadata_columns) or (),
        header=header,
        skip_bad_rows=skip_bad_rows,
        passages=passages,
        language=language,
        batch_size=batch_size,
        show_progress_bar=True,
    )
    out().print(
        f"{counts.rows:,} sentences added to {escaped(masked(index))}, which has {len(opened):,}{_left_out(counts)}"
    )


def delete_from_index(
    index: Index,
    ids: Annotated[list[str] | None, typer.Argument(help="Ids of sentences to delete.", metavar="[ID]...")] = None,
    filter: Filter = None,
    trust_remote_code: TrustIndex = False,
    store: Store = None,
    uri: Uri = None,
    token: Token = None,
) -> None:
    """Delete sentences by id, or all that meet a filter.

    Example: simcse-kit index delete tickets-index 17 23
    """
    from simcse_kit.cli.console import escaped, out
    from simcse_kit.search import open_collection

    collection = open_collection(index_address(index, store, uri, token), trust_remote_code=trust_remote_code)
    deleted = collection.delete(collection.as_ids(ids) if ids else None, filter=_json_of(filter))
    collection.save()
    out().print(f"{deleted:,} deleted from {escaped(masked(index))}, which has {len(collection):,}")


def show_index(
    index: Index, trust_remote_code: TrustIndex = False, store: Store = None, uri: Uri = None, token: Token = None
) -> None:
    """Show what an index holds and how it is searched."""
    from simcse_kit.cli.console import facts, out
    from simcse_kit.search import open_collection

    address = index_address(index, store, uri, token)
    info = open_collection(address, trust_remote_code=trust_remote_code).info()
    structure = info.structure
    kind = f"{structure.kind if structure else 'flat'}"
    how = "exact" if structure is None else get_kind(structure.kind).help
    size = f"{info.bytes / 2**20:,.1f} MiB, {info.segments} segments, commit {info.generation}"
    if address.uri is not None:
        kind, how = info.kind, "as Milvus has it"
        size = f"{info.bytes / 2**20:,.1f} MiB, " if info.bytes else ""
        size += f"save {info.generation}"
    out().print(
        facts(
            [
                ("sentences", f"{info.count:,}, {info.deleted:,} deleted ones not yet compacted"),
                ("dimension", info.dimension),
                ("kind", f"{kind} ({how})"),
                *(
                    []
                    if structure is None
                    else [
                        (
                            "recall",
                            f"{structure.recall:.4f} of the 10 nearest ({structure.queries:,} "
                            + ("queries of yours)" if structure.given else "rows as queries)"),
                        ),
                        ("effort", f"{structure.effort} lists or nodes, {structure.candidates} candidates rescored"),
                        ("not covered", f"{info.unindexed:,} rows, compared one by one"),
                    ]
                ),
                ("fields", _fields_of(info.fields)),
                ("size", size),
                ("model", info.model.get("name", "")),
                ("pooling", info.model.get("pooling", "")),
                ("fingerprint", info.model.get("fingerprint", "")[:16]),
            ]
        )
    )


def _fields_of(fields: Any) -> str:
    if fields is None:
        return "not recorded: the index is of an older version"
    return ", ".join(f"{name} ({kind})" for name, kind in fields.items()) or "none"


def verify_index(
    index: Index, trust_remote_code: TrustIndex = False, store: Store = None, uri: Uri = None, token: Token = None
) -> None:
    """Read all of an index and compare it with its checksums."""
    from simcse_kit.cli.console import escaped, out
    from simcse_kit.search import open_collection

    collection = open_collection(index_address(index, store, uri, token), trust_remote_code=trust_remote_code)
    collection.verify()
    commit = collection.info().generation
    out().print(f"{escaped(masked(index))} is as it was written: {len(collection):,} sentences, commit {commit}")


def compact_index(
    index: Index,
    queries: Queries = None,
    model: Model = None,
    trust_remote_code: TrustIndex = False,
    store: Store = None,
    uri: Uri = None,
    token: Token = None,
) -> None:
    """Leave deleted sentences out for good, and make the search structure again."""
    from simcse_kit.cli.console import escaped, out
    from simcse_kit.index.sentence_index import SentenceIndex
    from simcse_kit.search import open_collection
    from simcse_kit.search.making import making_shown

    collection: Any
    address = index_address(index, store, uri, token)
    if queries is None:
        collection = open_collection(address, trust_remote_code=trust_remote_code)
    else:
        collection = SentenceIndex.open(address, model, trust_remote_code=trust_remote_code)
        collection.tune_by(_queries_of(queries))
    before = collection.info()
    with making_shown(True):
        collection.compact()
    after = collection.info()
    if address.uri is not None:
        out().print(f"{escaped(masked(index))}: saved, and Milvus tidies up; {len(collection):,} sentences")
        return
    out().print(
        f"{escaped(masked(index))}: {before.deleted:,} deleted rows removed, {before.bytes / 2**20:,.1f} MiB to "
        f"{after.bytes / 2**20:,.1f} MiB, {len(collection):,} sentences"
    )


def _left_out(counts: Any) -> str:
    blank = f", {counts.blank:,} empty lines dropped" if counts.blank else ""
    return blank + (f", {counts.skipped:,} bad rows skipped" if counts.skipped else "")


def _queries_of(source: str | None) -> Any:
    from simcse_kit.cli.console import sentences_of
    from simcse_kit.data import read_sentences

    return None if source is None else read_sentences(sentences_of(source)).column(0)


def _json_of(text: str | None) -> Any:
    from simcse_kit.errors import SearchIndexError

    try:
        return None if text is None else json.loads(text)
    except json.JSONDecodeError as error:
        raise SearchIndexError(f'--filter is not JSON: {error}; it looks like {{"lang": "en"}}') from error


def search_index(
    index: Index,
    queries: Annotated[list[str], typer.Argument(help="What to look for; several in quotes.", metavar="QUERY...")],
    k: Annotated[int, typer.Option("-k", "--top-k", help="Hits for each query.", min=1)] = 5,
    threshold: Annotated[float | None, typer.Option(help="Only hits with at least this cosine.", min=-1, max=1)] = None,
    filter: Filter = None,
    output: Annotated[
        Literal["table", "json"], typer.Option("--format", help="json: a line for each query.")
    ] = "table",
    model: Model = None,
    device: Device = None,
    backend: BackendOption = "torch",
    dtype: Dtype = "float32",
    trust_remote_code: TrustIndex = False,
    store: Store = None,
    uri: Uri = None,
    token: Token = None,
) -> None:
    """Find the sentences of an index that mean most nearly the same as a query.

    Example: simcse-kit search tickets-index "cannot log in" -k 3
    """
    from simcse_kit.cli.console import escaped, out, shortened, table
    from simcse_kit.errors import SimCSEKitError
    from simcse_kit.index.sentence_index import SentenceIndex

    if not all(query.strip() for query in queries):
        raise SimCSEKitError("a query is empty")
    conditions = _json_of(filter)  # before a model is loaded
    opened = SentenceIndex.open(
        index_address(index, store, uri, token),
        model,
        device=device,
        backend=backend,
        dtype=dtype,
        trust_remote_code=trust_remote_code,
    )
    answers = opened.search(queries, k=k, threshold=threshold, filter=conditions)
    if output == "json":
        for query, hits in zip(queries, answers, strict=True):
            typer.echo(json.dumps({"query": query, "hits": [hit._asdict() for hit in hits]}, ensure_ascii=False))
        return
    console = out()
    for query, hits in zip(queries, answers, strict=True):
        console.print(f"[bold]{escaped(query)}[/]")
        if hits:
            console.print(
                table(["score", "id", "text"], [[f"{h.score:.3f}", str(h.id), shortened(h.text)] for h in hits], left=3)
            )
        else:
            console.print(
                "no hit" + ("" if threshold is None else f" with a cosine of at least {threshold:g}"), style="dim"
            )
