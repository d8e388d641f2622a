"""``simcse-kit search``."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import typer

from simcse_kit.cli.completion import index_fields
from simcse_kit.cli.index.options import Filter, Index, Model, Store, Token, Uri, filter_of
from simcse_kit.cli.options import BackendOption, Device, Dtype, TrustIndex
from simcse_kit.search.address import index_address
from simcse_kit.search.modes import SearchMode, check_mode
from simcse_kit.wording import counted

if TYPE_CHECKING:
    from simcse_kit.search import Hit


class _Cost(NamedTuple):
    """Cost of reranking one query."""

    model: str
    pairs: int
    seconds: float


class _Answer(NamedTuple):
    """Hits of a query; after reranking also the scores before it and its cost."""

    query: str
    hits: list[Hit]
    search_scores: list[float] | None = None
    cost: _Cost | None = None


def search_index(
    index: Index,
    queries: Annotated[
        list[str] | None,
        typer.Argument(
            help="What to look for, each query in quotes. Default: queries from standard input, one in each line; each "
            "answer is a line of JSON.",
            metavar="QUERY...",
        ),
    ] = None,
    k: Annotated[int, typer.Option("-k", "--top-k", help="Number of hits for each query.", min=1)] = 5,
    threshold: Annotated[
        float | None, typer.Option(help="Lowest cosine of a hit. Default: no limit.", min=-1, max=1)
    ] = None,
    filter: Filter = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            help="Keep only the best hit for each value of this metadata field; document keeps the best passage of "
            "each document. Default: all hits.",
            metavar="FIELD",
            autocompletion=index_fields,
        ),
    ] = None,
    rerank: Annotated[
        str | None,
        typer.Option(
            help="Cross-encoder that orders the candidates, more exactly and slower: a folder or a hub name, such as "
            "cross-encoder/ms-marco-MiniLM-L6-v2. Default: none.",
            metavar="MODEL",
        ),
    ] = None,
    candidates: Annotated[
        int | None, typer.Option(help="Hits of the search to rerank. Default: 50, or --top-k if it is more.", min=1)
    ] = None,
    mode: Annotated[
        SearchMode,
        typer.Option(
            help="dense searches by meaning, keyword by words (names, codes), hybrid by both; the last two need "
            "index build --hybrid."
        ),
    ] = "dense",
    output: Annotated[
        Literal["table", "json"] | None,
        typer.Option(
            "--format",
            help="Form of the output; json is a line for each query. Default: table, or json for standard input.",
        ),
    ] = None,
    model: Model = None,
    device: Device = None,
    backend: BackendOption = "torch",
    dtype: Dtype = "float32",
    trust_remote_code: TrustIndex = False,
    store: Store = None,
    uri: Uri = None,
    token: Token = None,
) -> None:
    """Find the texts of an index whose meaning is nearest to a query.

    Example: simcse-kit search tickets-index "cannot log in" -k 3
    Example: simcse-kit search tickets-index "error E-217" "late refund" --mode hybrid --filter '{"lang": "en"}'
    """
    from simcse_kit.cli.queries import batches_of_queries, standard_input
    from simcse_kit.errors import SimCSEKitError
    from simcse_kit.index.reading import search_texts
    from simcse_kit.index.reranking import candidates_for
    from simcse_kit.index.reranking import rerank as reranked
    from simcse_kit.index.sentence_index import SentenceIndex
    from simcse_kit.search import open_collection

    if not all(query.strip() for query in queries or ()):
        raise SimCSEKitError("a query is empty")
    if candidates is not None and rerank is None:
        raise SimCSEKitError("--candidates needs --rerank MODEL, a cross-encoder")
    batches = [queries] if queries else batches_of_queries(standard_input())
    check_mode(mode, threshold)
    conditions = filter_of(filter)  # before a model is loaded
    wanted = k if rerank is None else candidates_for(k, candidates)
    encoder = None
    if rerank is not None:
        from simcse_kit.encoder.cross_encoder import CrossEncoder

        encoder = CrossEncoder(rerank, device=device, trust_remote_code=trust_remote_code)
    address = index_address(index, store, uri, token)
    if mode == "keyword":  # needs no model
        collection = open_collection(address, trust_remote_code=trust_remote_code)
        find: Any = partial(search_texts, None, collection)
    else:
        opened = SentenceIndex.open(
            address, model, device=device, backend=backend, dtype=dtype, trust_remote_code=trust_remote_code
        )
        find = opened.search
    as_json = output == "json" or (output is None and not queries)
    for batch in batches:
        found = find(batch, wanted, threshold, conditions, group_by=group_by, mode=mode)
        for query, hits in zip(batch, found, strict=True):
            answer = _Answer(query, hits)
            if encoder is not None:
                best = reranked(encoder, query, hits, k)
                cost = _Cost(encoder.name, best.pairs, best.seconds)
                answer = _Answer(query, best.hits, best.search_scores, cost)
            if as_json:
                _print_json(answer)
            else:
                _print_table(answer, threshold)


def _print_json(answer: _Answer) -> None:
    rows: list[dict[str, Any]] = [hit.to_dict() for hit in answer.hits]
    if answer.search_scores is not None:
        rows = [{**row, "search_score": score} for row, score in zip(rows, answer.search_scores, strict=True)]
    rest = {} if answer.cost is None else {"rerank": answer.cost._asdict()}
    typer.echo(json.dumps({"query": answer.query, "hits": rows, **rest}, ensure_ascii=False))


def _print_table(answer: _Answer, threshold: float | None) -> None:
    from simcse_kit.cli.console import escaped, out, shortened, table

    console, hits, cost = out(), answer.hits, answer.cost
    console.print(f"[bold]{escaped(answer.query)}[/]")
    if not hits:
        console.print(
            "no hits" + ("" if threshold is None else f" with a cosine of at least {threshold:g}"), style="dim"
        )
        return
    columns = {"score": [f"{hit.score:.3f}" for hit in hits]}
    if answer.search_scores is not None:
        columns["search"] = [f"{score:.3f}" for score in answer.search_scores]
    if hits[0].ranks is not None:
        for place, name in enumerate(("dense rank", "keyword rank")):
            columns[name] = [_rank(hit.ranks and hit.ranks[place]) for hit in hits]
    columns |= {"id": [str(hit.id) for hit in hits], "text": [shortened(hit.text) for hit in hits]}
    console.print(table(list(columns), list(zip(*columns.values(), strict=True)), left=len(columns)))
    if cost is not None:
        console.print(
            f"{counted(cost.pairs, 'pair')} reranked in {cost.seconds:.2f} s by {escaped(cost.model)}", style="dim"
        )


def _rank(rank: int | None) -> str:
    return "–" if rank is None else str(rank)
