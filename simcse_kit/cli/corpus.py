"""``simcse-kit mine`` and ``simcse-kit cluster``: duplicates and topics of an indexed corpus."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from simcse_kit.cli.completion import index_fields
from simcse_kit.cli.index.options import Index, Store, Token, Uri
from simcse_kit.cli.options import Overwrite, TrustIndex
from simcse_kit.search.address import index_address
from simcse_kit.wording import counted

if TYPE_CHECKING:
    from simcse_kit.search import BaseCollection, IndexRow, MinedPair
    from simcse_kit.search.cross_tab import CrossTab
    from simcse_kit.search.groups import Groups, SimilarGroup
    from simcse_kit.search.mining import Mined

_SHOWN = 10  # rows shown: pairs, groups, or values of a field
_VALUES = 3  # values of a field shown for each cluster if the cross table does not fit
_MEMBERS = 3  # members shown for each group, besides the representative

Output = Annotated[
    Path | None,
    typer.Option(
        "--output", "-o", help="Write all rows to this .jsonl file. Default: print the first ones only.", metavar="FILE"
    ),
]


def mine_index(
    index: Index,
    threshold: Annotated[
        float, typer.Option(help="Lowest cosine of a pair; raise it to find near-duplicates only.", min=-1, max=1)
    ] = 0.9,
    neighbors: Annotated[
        int, typer.Option(help="Nearest neighbours of each text to look at; more find more pairs, slower.", min=1)
    ] = 50,
    groups: Annotated[
        bool,
        typer.Option("--groups", help="List the groups of texts that pairs connect, each with its most central text."),
    ] = False,
    output: Output = None,
    overwrite: Overwrite = False,
    trust_remote_code: TrustIndex = False,
    store: Store = None,
    uri: Uri = None,
    token: Token = None,
) -> None:
    """Find pairs of texts of an index with nearly the same meaning: duplicates and paraphrases.

    Example: simcse-kit mine tickets-index --threshold 0.95 --output duplicates.jsonl
    Example: simcse-kit mine tickets-index --groups
    """
    from simcse_kit.cli.console import out, show_next
    from simcse_kit.index.mining import mine_pairs
    from simcse_kit.workflows.steps import new_name

    _check(output, overwrite)
    address = index_address(index, store, uri, token)
    found = mine_pairs(
        address,
        threshold,
        neighbors,
        show_progress_bar=True,
        trust_remote_code=trust_remote_code,
    )
    console = out()
    connected = found.by_group()
    console.print(
        f"{counted(len(found), 'pair')} with a cosine of at least {threshold:g}, in {counted(len(connected), 'group')}"
    )
    if found.full:
        more = (
            f"{counted(found.full, 'sentence')} with {neighbors} neighbors above the threshold may have more: "
            "raise --neighbors"
        )
        console.print(more, style="dim")
    if groups:
        _show_groups(connected, output)
    else:
        _show_pairs(found, output)
    if output is None and len(connected if groups else found) > _SHOWN:
        again = ["--threshold", threshold, "--neighbors", neighbors, *["--groups"] * groups]
        name = new_name("groups.jsonl" if groups else "pairs.jsonl")
        show_next(
            ["mine", address, *again, *["--trust-remote-code"] * trust_remote_code, "--output", name], "to save all"
        )


def _show_pairs(found: Mined, output: Path | None) -> None:
    from simcse_kit.cli.console import escaped, out, table
    from simcse_kit.files import write_json_lines

    if best := list(islice(found, _SHOWN)):
        shown = _row_in_words(found.collection)
        rows = [[f"{pair.score:.3f}", shown(pair.first), shown(pair.second)] for pair in best]
        out().print(table(["score", "first", "second"], rows, left=3))
    if output is not None:
        write_json_lines(output, map(_record, found))
        out().print(f"all pairs: {escaped(output)}")


def _row_in_words(collection: BaseCollection) -> Callable[[IndexRow], str]:
    """The text of a row for a table cell, after its id unless the rows are numbered."""
    from simcse_kit.cli.console import shortened

    named = (collection.source or {}).get("id_column") is not None

    def shown(row: IndexRow) -> str:
        return f"{row.id}: {shortened(row.text)}" if named or isinstance(row.id, str) else shortened(row.text)

    return shown


def _show_groups(groups: Groups, output: Path | None) -> None:
    from simcse_kit.cli.console import escaped, out, table
    from simcse_kit.files import write_json_lines

    rows, in_words = [], _row_in_words(groups.collection)
    for group in islice(groups, _SHOWN):
        others = [row for row in group.members if row.id != group.representative.id]
        shown = [in_words(row) for row in others[:_MEMBERS]]
        left_out = [f"and {len(others) - _MEMBERS:,} more"] if len(others) > _MEMBERS else []
        rows.append([f"{group.size:,}", in_words(group.representative), "\n".join(shown + left_out)])
    if rows:
        out().print(table(["size", "representative", "others"], rows, left=3))
    if output is not None:
        write_json_lines(output, map(_group_record, groups))
        out().print(f"all groups with all members: {escaped(output)}")


def cluster_index(
    index: Index,
    n_clusters: Annotated[
        str,
        typer.Option(
            "-k",
            "--clusters",
            help="Number of clusters; auto takes the fewest whose silhouette on a sample is nearly the best, at most "
            "256.",
            metavar="NUMBER|auto",
        ),
    ] = "20",
    examples: Annotated[int, typer.Option(help="Texts to show of each cluster, the nearest to its centre.", min=1)] = 2,
    cross_tab: Annotated[
        str | None,
        typer.Option(
            help="Metadata field whose values are counted in each cluster. Default: no count.",
            metavar="FIELD",
            autocompletion=index_fields,
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Random seed of the first centres.")] = 0,
    output: Output = None,
    overwrite: Overwrite = False,
    trust_remote_code: TrustIndex = False,
    store: Store = None,
    uri: Uri = None,
    token: Token = None,
) -> None:
    """Group the texts of an index by k-means, and show keywords and central texts of each group.

    Example: simcse-kit cluster tickets-index --clusters 12 --cross-tab lang
    Example: simcse-kit cluster tickets-index --clusters auto --output clusters.jsonl
    """
    from simcse_kit.cli.console import escaped, out, shortened, show_next, table
    from simcse_kit.files import write_json_lines
    from simcse_kit.index.mining import cluster
    from simcse_kit.search import open_collection
    from simcse_kit.workflows.steps import new_name

    _check(output, overwrite)
    number = _number(n_clusters)
    address = index_address(index, store, uri, token)
    collection = open_collection(address, trust_remote_code=trust_remote_code)
    if cross_tab is not None:
        collection.check_field(cross_tab, "--cross-tab counts")  # before the slow part
    found = cluster(collection, number, examples=examples, seed=seed)
    rows = [
        [
            str(label),
            f"{one.size:,}",
            f"{one.cohesion:.2f}",
            ", ".join(one.keywords),
            "\n".join(shortened(hit.text) for hit in one.nearest),
        ]
        for label, one in enumerate(found.clusters)
    ]
    console = out()
    if found.choice is not None:
        console.print(str(found.choice), style="dim")
    console.print(table(["cluster", "size", "cohesion", "keywords", "nearest the centre"], rows, left=5))
    if cross_tab is not None:
        _show_cross_tab(found.cross_tab(cross_tab))
    if output is not None:
        write_json_lines(output, ({"id": row.id, "text": row.text, "cluster": label} for row, label in found.rows()))
        console.print(f"every sentence with its cluster: {escaped(output)}")
    else:
        again = ["--clusters", len(found.clusters), "--seed", seed, *["--trust-remote-code"] * trust_remote_code]
        show_next(["cluster", address, *again, "--output", new_name("clusters.jsonl")], "to save all")


def _number(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    if not text.isdecimal() or int(text) < 1:
        raise typer.BadParameter(f"expected a whole number from 1, or auto; got {text!r}", param_hint="--clusters")
    return int(text)


def _show_cross_tab(counts: CrossTab) -> None:
    """The most frequent values, and the sum of the others: in columns if they fit, else as text."""
    from simcse_kit.cli.console import escaped, out, table

    columns = list(zip(counts.values[:_SHOWN], counts.counts.T[:_SHOWN], strict=True))
    if len(counts.values) > _SHOWN:
        columns.append((counted(len(counts.values) - _SHOWN, "other"), counts.counts[:, _SHOWN:].sum(1)))
    if counts.without.any():
        columns.append((f"without {counts.field}", counts.without))
    rows = [[str(label), *(f"{int(column[label]):,}" for _, column in columns)] for label in range(len(counts.counts))]
    head, title = ["cluster", *(escaped(name) for name, _ in columns)], f"sentences by {escaped(counts.field)}"
    console = out()
    whole = table(head, rows, title=title)
    if not whole.fits(console):
        lines = [[str(label), _largest(counts, label)] for label in range(len(rows))]
        whole = table(["cluster", escaped(counts.field)], lines, left=2, title=title)
    console.print(whole)


def _largest(counts: CrossTab, label: int) -> str:
    """The most frequent values of a cluster, with their numbers of rows."""
    ranked = sorted(zip(-counts.counts[label], counts.values, strict=True))
    shown = [f"{value} {-count:,}" for count, value in ranked[:_VALUES] if count]
    others = -sum(int(count) for count, _ in ranked[_VALUES:])
    without = int(counts.without[label])
    shown += [f"{counted(others, 'other')}"] if others else []
    return ", ".join(shown + ([f"{without:,} without {counts.field}"] if without else []))


def _check(output: Path | None, overwrite: bool) -> None:
    from simcse_kit.data.prepare.output import check_new_file

    if output is not None:
        check_new_file(output, [], suffix=".jsonl", overwrite=overwrite)


def _record(pair: MinedPair) -> dict[str, Any]:
    ends = {name: {"id": row.id, "text": row.text} for name, row in (("first", pair.first), ("second", pair.second))}
    return {"score": round(pair.score, 6), "group": pair.group, **ends}


def _group_record(group: SimilarGroup) -> dict[str, Any]:
    representative, *members = ({"id": row.id, "text": row.text} for row in (group.representative, *group.members))
    return {"group": group.number, "size": group.size, "representative": representative, "members": members}
