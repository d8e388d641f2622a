"""``simcse-kit index build`` and ``simcse-kit search``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from simcse_kit.cli.options import (
    FILE_HELP,
    Backend,
    BatchSize,
    Columns,
    Device,
    Dtype,
    Header,
    Pooling,
    SkipBadRows,
    TrustRemoteCode,
    columns_of,
)

Index = Annotated[Path, typer.Argument(help="Folder of the index.", metavar="INDEX")]


def build_index(
    model: Annotated[str, typer.Argument(help="Folder or hub name of the model.", metavar="MODEL")],
    file: Annotated[str, typer.Argument(help=FILE_HELP, metavar="FILE")],
    index: Index,
    columns: Columns = None,
    header: Header = None,
    skip_bad_rows: SkipBadRows = False,
    pooling: Pooling = None,
    batch_size: BatchSize = None,
    device: Device = None,
    backend: Backend = "torch",
    dtype: Dtype = "float32",
    trust_remote_code: TrustRemoteCode = False,
) -> None:
    """Encode the sentences of FILE into a new index.

    Example: simcse-kit index build all-MiniLM-L6-v2 tickets.txt tickets-index
    """
    from simcse_kit.cli.console import out, plain
    from simcse_kit.data import read_sentences
    from simcse_kit.errors import SearchIndexError
    from simcse_kit.index import SentenceIndex
    from simcse_kit.model import SimCSE

    if index.exists() and (index.is_file() or any(index.iterdir())):
        raise SearchIndexError(f"{index} is there already and not empty; name a new folder")
    data = read_sentences(file, columns=columns_of(columns), header=header, skip_bad_rows=skip_bad_rows)
    encoder = SimCSE(
        model, pooling=pooling, device=device, backend=backend, dtype=dtype, trust_remote_code=trust_remote_code
    )
    built = SentenceIndex.build(encoder, data.column(0), batch_size=batch_size, show_progress_bar=True)
    built.save(index)
    dropped = f", {data.empty} empty lines dropped" if data.empty else ""
    dropped += f", {len(data.skipped)} bad rows skipped" if data.skipped else ""
    console = out()
    console.print(f"{len(built):,} sentences indexed in {plain(index)}{dropped}")
    console.print(f'next: simcse-kit search {plain(index)} "your question"', style="dim")


def search_index(
    index: Index,
    queries: Annotated[list[str], typer.Argument(help="What to look for; several in quotes.", metavar="QUERY...")],
    k: Annotated[int, typer.Option("-k", "--top-k", help="Hits for each query.", min=1)] = 5,
    threshold: Annotated[float | None, typer.Option(help="Only hits with at least this cosine.", min=-1, max=1)] = None,
    output: Annotated[str, typer.Option("--format", help="table, or json: a line for each query.")] = "table",
    model: Annotated[
        str | None, typer.Option(help="The index's model, where it has moved. Default: as recorded.")
    ] = None,
    device: Device = None,
    backend: Backend = "torch",
    dtype: Dtype = "float32",
) -> None:
    """Find the sentences of an index that mean most nearly the same as a query.

    Example: simcse-kit search tickets-index "cannot log in" -k 3
    """
    from simcse_kit.cli.console import out, plain, shortened, table
    from simcse_kit.errors import SimCSEKitError
    from simcse_kit.index import SentenceIndex

    if output not in ("table", "json"):
        raise SimCSEKitError(f"--format must be table or json; got {output!r}")
    if not all(query.strip() for query in queries):
        raise SimCSEKitError("a query is empty")
    opened = SentenceIndex.open(index, model, device=device, backend=backend, dtype=dtype)
    answers = opened.search(queries, k=k, threshold=threshold)
    if output == "json":
        for query, hits in zip(queries, answers, strict=True):
            typer.echo(json.dumps({"query": query, "hits": [hit._asdict() for hit in hits]}, ensure_ascii=False))
        return
    console = out()
    for query, hits in zip(queries, answers, strict=True):
        console.print(f"[bold]{plain(query)}[/]")
        if hits:
            console.print(
                table(["score", "id", "text"], [[f"{h.score:.3f}", str(h.id), shortened(h.text)] for h in hits], left=3)
            )
        else:
            console.print(
                "no hit" + ("" if threshold is None else f" with a cosine of at least {threshold:g}"), style="dim"
            )
