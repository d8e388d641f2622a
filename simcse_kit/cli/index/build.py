"""``simcse-kit index build``, ``add`` and ``update``."""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Literal

import typer

from simcse_kit.cli.index.options import (
    File,
    IdColumn,
    Index,
    KeptIdColumn,
    KeptLanguage,
    KeptMetadataColumns,
    KeptPassages,
    Language,
    MetadataColumns,
    Model,
    Passages,
    Queries,
    Store,
    Token,
    Uri,
    Wait,
    kept_columns_of,
    left_out,
    queries_of,
)
from simcse_kit.cli.options import (
    BackendOption,
    BatchSize,
    Columns,
    Device,
    Dtype,
    Header,
    ModelArgument,
    Pooling,
    SkipBadRows,
    TrustIndex,
    TrustRemoteCode,
    check_order,
    columns_of,
)
from simcse_kit.parts import is_named
from simcse_kit.search.address import index_address, masked
from simcse_kit.search.kinds import KINDS
from simcse_kit.wording import counted


def build_index_command(
    model: ModelArgument,
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
            help=f"Search structure: {', '.join(KINDS.names())}; auto (by the number of texts); or a FAISS factory "
            "string. flat compares all texts, the others find candidates; scores are exact.",
            autocompletion=lambda: ["auto", *KINDS.names()],
        ),
    ] = "auto",
    target_recall: Annotated[
        float,
        typer.Option(help="Share of the 10 nearest texts that a search should find; less is faster.", min=0.01, max=1),
    ] = 0.99,
    hybrid: Annotated[
        bool, typer.Option("--hybrid", help="Also keep keywords, for search --mode hybrid or keyword.")
    ] = False,
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
    """Encode the texts of FILE into a new index.

    Example: simcse-kit index build my-model tickets.txt tickets-index
    Example: simcse-kit index build all-MiniLM-L6-v2 tickets.csv tickets-index --columns text --metadata-columns lang
    """
    from simcse_kit.cli.console import escaped, out, show_next
    from simcse_kit.data.files import files_of
    from simcse_kit.data.id_column import column_names, find_id_column
    from simcse_kit.errors import say_once
    from simcse_kit.index import build_index
    from simcse_kit.index.build import check_build
    from simcse_kit.model import SimCSE

    check_order(model, "index build MODEL FILE INDEX")
    address = index_address(index, store, uri, token)
    check_build(file, address, kind)
    examples = queries_of(queries)
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
        hybrid=hybrid,
        queries=examples,
        batch_size=batch_size,
        show_progress_bar=True,
    )
    console = out()
    what = counted(len(built), "sentence")
    if passages:
        what = f"{counted(len(built), 'passage')} of {counted(counts.documents, 'document')}"
    console.print(f"{what} indexed in {escaped(masked(index))}{left_out(counts)}")
    structure = built.info().structure
    if structure is not None:
        console.print(f"{structure.kind}: finds {structure.recall:.3f} of the 10 nearest neighbors")
    first = files_of([file], Counter())[0]
    if id_column is None and column_names(first, header):
        say_once(f"rows are numbered; index update needs --id-column {find_id_column(first, header) or 'NAME'}")
    trust = ["--trust-remote-code"] if trust_remote_code or is_named(kind) else []
    mode = ["--mode", "hybrid"] if hybrid else []
    show_next(["search", address, "your question", *mode, *trust])


def add_to_index(
    index: Index,
    file: File,
    on_conflict: Annotated[
        Literal["error", "skip", "update"],
        typer.Option(
            help="For an id that exists: error adds nothing at all; skip keeps the old text; update replaces it if "
            "it differs."
        ),
    ] = "error",
    columns: Columns = None,
    id_column: KeptIdColumn = None,
    metadata_columns: KeptMetadataColumns = None,
    header: Header = None,
    skip_bad_rows: SkipBadRows = False,
    passages: KeptPassages = None,
    language: KeptLanguage = None,
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
    """Encode the texts of FILE and add them to an index.

    Example: simcse-kit index add tickets-index new-tickets.csv
    Example: simcse-kit index add tickets-index new-tickets.csv --on-conflict update
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
        on_conflict=on_conflict,
        columns=columns_of(columns),
        id_column=id_column,
        metadata_columns=kept_columns_of(metadata_columns),
        header=header,
        skip_bad_rows=skip_bad_rows,
        passages=passages,
        language=language,
        batch_size=batch_size,
        show_progress_bar=True,
    )
    changed = f"; {counts.changed:,} of them replaced stored sentences" if counts.changed else ""
    kept = f"; {counts.kept:,} kept" if counts.kept else ""
    out().print(
        f"{counted(counts.rows, 'sentence')} added to {escaped(masked(index))}, which has {len(opened):,}"
        f"{changed}{kept}{left_out(counts)}"
    )


def update_index(
    index: Index,
    file: File,
    delete_missing: Annotated[
        bool, typer.Option("--delete-missing", help="Delete the texts of the index that are not in FILE.")
    ] = False,
    max_delete: Annotated[
        float,
        typer.Option(
            help="Largest share of the rows that --delete-missing may delete; more is an error, and nothing changes.",
            min=0,
            max=1,
        ),
    ] = 0.2,
    wait: Wait = False,
    columns: Columns = None,
    id_column: KeptIdColumn = None,
    metadata_columns: KeptMetadataColumns = None,
    header: Header = None,
    skip_bad_rows: SkipBadRows = False,
    passages: KeptPassages = None,
    language: KeptLanguage = None,
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
    """Make an index equal to FILE, by ids: add new texts, replace changed ones. Only these are encoded.

    Example: simcse-kit index update tickets-index tickets.csv
    Example: simcse-kit index update tickets-index tickets.csv --delete-missing
    """
    from simcse_kit.cli.console import escaped, out
    from simcse_kit.index import sync_files
    from simcse_kit.index.sentence_index import SentenceIndex

    opened = SentenceIndex.open(
        index_address(index, store, uri, token),
        model,
        device=device,
        backend=backend,
        dtype=dtype,
        trust_remote_code=trust_remote_code,
    )
    counts = sync_files(
        opened,
        file,
        delete_missing=delete_missing,
        max_delete=max_delete,
        wait=wait,
        columns=columns_of(columns),
        id_column=id_column,
        metadata_columns=kept_columns_of(metadata_columns),
        header=header,
        skip_bad_rows=skip_bad_rows,
        passages=passages,
        language=language,
        batch_size=batch_size,
        show_progress_bar=True,
    )
    out().print(
        f"{counts.added:,} added, {counts.changed:,} changed, {counts.deleted:,} deleted, {counts.unchanged:,} "
        f"unchanged in {escaped(masked(index))}{left_out(counts)}"
    )
