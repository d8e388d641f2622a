"""``simcse-kit index info`` and ``verify``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import typer

from simcse_kit.cli.index.options import Index, InfoFormat, Store, Token, Uri
from simcse_kit.cli.options import TrustIndex
from simcse_kit.search.address import index_address, masked
from simcse_kit.search.kinds import get_kind
from simcse_kit.wording import counted


def show_index(
    index: Index,
    output: InfoFormat = "text",
    trust_remote_code: TrustIndex = False,
    store: Store = None,
    uri: Uri = None,
    token: Token = None,
) -> None:
    """Show what an index holds and how it is searched.

    Example: simcse-kit index info tickets-index
    Example: simcse-kit index info tickets-index --format json
    """
    from simcse_kit.cli.console import facts, out
    from simcse_kit.search import open_collection

    address = index_address(index, store, uri, token)
    info = open_collection(address, trust_remote_code=trust_remote_code).info()
    if output == "json":
        typer.echo(json.dumps({"index": masked(index), **asdict(info)}, ensure_ascii=False))
        return
    structure = info.structure
    kind = f"{structure.kind if structure else 'flat'}"
    how = "exact" if structure is None else get_kind(structure.kind).help
    size = f"{info.bytes / 2**20:,.1f} MiB, {counted(info.segments, 'segment')}, commit {info.generation}"
    if address.uri is not None:
        kind, how = info.kind, "chosen by Milvus"
        size = f"{info.bytes / 2**20:,.1f} MiB, " if info.bytes else ""
        size += f"save {info.generation}"
    out().print(
        facts(
            [
                ("sentences", f"{info.count:,}, and {counted(info.deleted, 'deleted row')} until the next compact"),
                ("dimension", info.dimension),
                ("kind", f"{kind} ({how})"),
                *(
                    []
                    if structure is None
                    else [
                        (
                            "recall",
                            f"{structure.recall:.4f} of the 10 nearest neighbors ({structure.queries:,} "
                            + ("of your queries)" if structure.given else "rows as queries)"),
                        ),
                        ("effort", f"{structure.effort} lists or nodes, {structure.candidates} candidates rescored"),
                        ("not in the structure", f"{counted(info.unindexed, 'row')}, compared one by one"),
                    ]
                ),
                (
                    "keywords",
                    "yes, for search --mode hybrid" if info.keywords else "no (to add them: index compact --hybrid)",
                ),
                ("fields", _fields_of(info.fields)),
                ("read from", _source_of(info.source)),
                ("size", size),
                ("model", info.model.get("name", "")),
                ("pooling", info.model.get("pooling", "")),
                ("fingerprint", info.model.get("fingerprint", "")[:16]),
            ]
        )
    )


def _fields_of(fields: Any) -> str:
    if fields is None:
        return "not recorded: an older version wrote the index"
    return ", ".join(f"{name} ({kind})" for name, kind in fields.items()) or "none"


def _source_of(source: Any) -> str:
    if source is None:
        return "not recorded"
    named = {
        "text column": ", ".join(source["columns"] or ()),
        "id column": source["id_column"] or "",
        "metadata columns": ", ".join(source["metadata_columns"]),
    }
    said = [f"{what} {names}" for what, names in named.items() if names]
    if not source["columns"]:
        said.insert(0, "text column (found by its name) or lines")
    if not source["id_column"]:
        said.append("rows numbered")
    return ", ".join([*said, *([f"passages ({source['language']})"] if source["passages"] else [])])


def verify_index(
    index: Index,
    output: InfoFormat = "text",
    trust_remote_code: TrustIndex = False,
    store: Store = None,
    uri: Uri = None,
    token: Token = None,
) -> None:
    """Read all files of an index and compare them with their checksums.

    Example: simcse-kit index verify tickets-index
    Example: simcse-kit index verify tickets-index --format json
    """
    from simcse_kit.cli.console import escaped, out
    from simcse_kit.errors import SearchIndexError
    from simcse_kit.search import open_collection

    try:
        collection = open_collection(index_address(index, store, uri, token), trust_remote_code=trust_remote_code)
        collection.verify()
    except SearchIndexError as error:
        if output == "json":
            typer.echo(json.dumps({"index": masked(index), "ok": False, "error": str(error)}, ensure_ascii=False))
            raise typer.Exit(1) from error
        raise
    commit = collection.info().generation
    if output == "json":
        typer.echo(json.dumps({"index": masked(index), "ok": True, "count": len(collection), "generation": commit}))
        return
    out().print(f"{escaped(masked(index))} is intact: {counted(len(collection), 'sentence')}, commit {commit}")
