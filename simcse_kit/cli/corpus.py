"""``simcse-kit mine`` and ``simcse-kit cluster``: what an indexed corpus says twice, and what it is about."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from simcse_kit.cli.index.options import Index, Store, Token, Uri
from simcse_kit.cli.options import Overwrite, TrustIndex
from simcse_kit.search.address import index_address

if TYPE_CHECKING:
    from simcse_kit.search import MinedPair

_SHOWN = 10

Output = Annotated[Path | None, typer.Option("--output", "-o", help="Write all to this .jsonl file.", metavar="FILE")]


def mine_index(
    index: Index,
    threshold: Annotated[float, typer.Option(help="Least cosine of a pair.", min=-1, max=1)] = 0.9,
    neighbors: Annotated[int, typer.Option(help="Nearest neighbours of each sentence that are looked at.", min=1)] = 50,
    output: Output = None,
    overwrite: Overwrite = False,
    trust_remote_code: TrustIndex = False,
    store: Store = None,
    uri: Uri = None,
    token: Token = None,
) -> None:
    """Find the pairs of sentences of an index that mean nearly the same: duplicates and paraphrases.

    Example: simcse-kit mine tickets-index --threshold 0.95 --output duplicates.jsonl
    """
    from simcse_kit.cli.console import escaped, out, shortened, table
    from simcse_kit.files import write_json_lines
    from simcse_kit.index.mining import mine_pairs

    _check(output, overwrite)
    found = mine_pairs(
        index_address(index, store, uri, token),
        threshold,
        neighbors,
        show_progress_bar=True,
        trust_remote_code=trust_remote_code,
    )
    console = out()
    groups = int(found.groups.max()) + 1 if len(found.groups) else 0
    console.print(f"{len(found.scores):,} pairs with a cosine of at least {threshold:g}, in {groups:,} groups")
    if found.full:
        more = f"{found.full:,} sentences have {neighbors} such neighbours and may have more: raise --neighbors"
        console.print(more, style="dim")
    if best := list(islice(found, _SHOWN)):
        rows = [[f"{pair.score:.3f}", shortened(pair.first.text), shortened(pair.second.text)] for pair in best]
        console.print(table(["score", "first", "second"], rows, left=3))
    if output is not None:
        write_json_lines(output, map(_record, found))
        console.print(f"all pairs: {escaped(output)}")


def cluster_index(
    index: Index,
    n_clusters: Annotated[int, typer.Option("-k", "--clusters", help="Number of clusters.", min=1)] = 20,
    examples: Annotated[int, typer.Option(help="Sentences to show of each, the nearest to its centre.", min=1)] = 2,
    seed: Annotated[int, typer.Option(help="Of the first centres.")] = 0,
    output: Output = None,
    overwrite: Overwrite = False,
    trust_remote_code: TrustIndex = False,
    store: Store = None,
    uri: Uri = None,
    token: Token = None,
) -> None:
    """Group the sentences of an index by k-means, and show what each group is about.

    Example: simcse-kit cluster tickets-index -k 30 --output clusters.jsonl
    """
    from simcse_kit.cli.console import escaped, out, shortened, table
    from simcse_kit.files import write_json_lines
    from simcse_kit.index.mining import cluster

    _check(output, overwrite)
    found = cluster(
        index_address(index, store, uri, token),
        n_clusters,
        examples=examples,
        seed=seed,
        trust_remote_code=trust_remote_code,
    )
    rows = [
        [f"{one.size:,}", f"{one.cohesion:.2f}", "\n".join(shortened(hit.text) for hit in one.nearest)]
        for one in found.clusters
    ]
    console = out()
    console.print(table(["size", "cohesion", "nearest the centre"], rows, left=3))
    if output is not None:
        write_json_lines(output, ({"id": row.id, "text": row.text, "cluster": label} for row, label in found.rows()))
        console.print(f"every sentence with its cluster: {escaped(output)}")


def _check(output: Path | None, overwrite: bool) -> None:
    from simcse_kit.data.prepare.output import check_new_file

    if output is not None:
        check_new_file(output, [], suffix=".jsonl", overwrite=overwrite)


def _record(pair: MinedPair) -> dict[str, Any]:
    ends = {name: {"id": row.id, "text": row.text} for name, row in (("first", pair.first), ("second", pair.second))}
    return {"score": round(pair.score, 6), "group": pair.group, **ends}
