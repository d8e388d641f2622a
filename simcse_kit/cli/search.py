"""``simcse-kit search``."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal

import typer

from simcse_kit.cli.index.options import Filter, Index, Model, Store, Token, Uri, filter_of
from simcse_kit.cli.options import BackendOption, Device, Dtype, TrustIndex
from simcse_kit.search.address import index_address
from simcse_kit.search.modes import SearchMode, check_mode


def search_index(
    index: Index,
    queries: Annotated[list[str], typer.Argument(help="What to look for; several in quotes.", metavar="QUERY...")],
    k: Annotated[int, typer.Option("-k", "--top-k", help="Hits for each query.", min=1)] = 5,
    threshold: Annotated[float | None, typer.Option(help="Only hits with at least this cosine.", min=-1, max=1)] = None,
    filter: Filter = None,
    mode: Annotated[
        SearchMode,
        typer.Option(help="By meaning, by words (names, codes), or by both; the last two need index build --hybrid."),
    ] = "dense",
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
    from simcse_kit.search import open_collection

    if not all(query.strip() for query in queries):
        raise SimCSEKitError("a query is empty")
    check_mode(mode, threshold)
    conditions = filter_of(filter)  # before a model is loaded
    address = index_address(index, store, uri, token)
    if mode == "keyword":  # needs no model
        collection = open_collection(address, trust_remote_code=trust_remote_code)
        answers = collection.search_words(queries, k, conditions)
    else:
        opened = SentenceIndex.open(
            address,
            model,
            device=device,
            backend=backend,
            dtype=dtype,
            trust_remote_code=trust_remote_code,
        )
        answers = opened.search(queries, k=k, threshold=threshold, filter=conditions, mode=mode)
    if output == "json":
        for query, hits in zip(queries, answers, strict=True):
            typer.echo(json.dumps({"query": query, "hits": [hit.to_dict() for hit in hits]}, ensure_ascii=False))
        return
    console = out()
    for query, hits in zip(queries, answers, strict=True):
        console.print(f"[bold]{escaped(query)}[/]")
        if hits:
            names, rows = _columns(hits, shortened)
            console.print(table(names, rows, left=len(names)))
        else:
            console.print(
                "no hit" + ("" if threshold is None else f" with a cosine of at least {threshold:g}"), style="dim"
            )


def _columns(hits: Sequence[Any], shortened: Callable[[str], str]) -> tuple[list[str], list[list[str]]]:
    """Names and rows of a table of hits: both ranks where words were searched for."""
    rows = [[f"{hit.score:.3f}", str(hit.id), shortened(hit.text)] for hit in hits]
    if hits[0].ranks is None:
        return ["score", "id", "text"], rows
    ranks = [["-" if rank is None else str(rank) for rank in hit.ranks] for hit in hits]
    return ["score", "dense rank", "keyword rank", "id", "text"], [
        [row[0], *own, *row[1:]] for row, own in zip(rows, ranks, strict=True)
    ]
