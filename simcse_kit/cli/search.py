"""``simcse-kit search``."""

from __future__ import annotations

import json
from typing import Annotated, Literal

import typer

from simcse_kit.cli.index.options import Filter, Index, Model, Store, Token, Uri, filter_of
from simcse_kit.cli.options import BackendOption, Device, Dtype, TrustIndex
from simcse_kit.search.address import index_address


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
    conditions = filter_of(filter)  # before a model is loaded
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
