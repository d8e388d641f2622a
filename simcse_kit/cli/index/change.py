"""``simcse-kit index delete``, ``compact`` and ``rebuild``."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from simcse_kit.cli.index.options import Filter, Index, Model, Queries, Store, Token, Uri, Wait, filter_of, queries_of
from simcse_kit.cli.options import BackendOption, BatchSize, Device, Dtype, Pooling, TrustIndex
from simcse_kit.search.address import index_address, masked
from simcse_kit.wording import counted


def delete_from_index(
    index: Index,
    ids: Annotated[
        list[str] | None,
        typer.Argument(help="Ids of the texts to delete. Default: those that --filter finds.", metavar="[ID]..."),
    ] = None,
    filter: Filter = None,
    missing_ok: Annotated[
        bool,
        typer.Option(
            "--missing-ok", help="Delete the ids that exist, and list the others. Default: an unknown id is an error."
        ),
    ] = False,
    trust_remote_code: TrustIndex = False,
    store: Store = None,
    uri: Uri = None,
    token: Token = None,
) -> None:
    """Delete texts by id, or all that a filter finds.

    Example: simcse-kit index delete tickets-index 17 23
    Example: simcse-kit index delete tickets-index --filter '{"year": {"$lt": 2020}}'
    """
    from simcse_kit.cli.console import escaped, out
    from simcse_kit.search import open_collection

    collection = open_collection(index_address(index, store, uri, token), trust_remote_code=trust_remote_code)
    wanted = collection.as_ids(ids) if ids else None
    there = collection.found(wanted or []) if missing_ok else {}
    deleted = collection.delete(wanted, filter=filter_of(filter), missing_ok=missing_ok)
    collection.save()
    absent = ", ".join(str(id_) for id_ in dict.fromkeys(wanted or []) if missing_ok and id_ not in there)
    rest = f"; not found: {escaped(absent)}" if absent else ""
    out().print(f"{deleted:,} deleted from {escaped(masked(index))}, which now has {len(collection):,}{rest}")


def compact_index(
    index: Index,
    queries: Queries = None,
    hybrid: Annotated[
        bool | None,
        typer.Option(
            "--hybrid/--dense",
            help="Add keywords for search --mode hybrid, or drop them; nothing is encoded. Default: no change.",
        ),
    ] = None,
    model: Model = None,
    trust_remote_code: TrustIndex = False,
    store: Store = None,
    uri: Uri = None,
    token: Token = None,
) -> None:
    """Remove deleted texts from the disk, and build the search structure again.

    Example: simcse-kit index compact tickets-index
    Example: simcse-kit index compact tickets-index --hybrid
    """
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
        collection.tune_by(queries_of(queries))
    before = collection.info()
    with making_shown(True):
        collection.compact(hybrid=hybrid)
    after, left = collection.info(), counted(len(collection), "sentence")
    if address.uri is not None:
        out().print(f"{escaped(masked(index))}: saved; Milvus compacts it in the background; {left}")
        return
    out().print(
        f"{escaped(masked(index))}: {counted(before.deleted, 'deleted row')} removed, {before.bytes / 2**20:,.1f} MiB "
        f"to {after.bytes / 2**20:,.1f} MiB, {left}"
    )


def rebuild_with_model(
    index: Index,
    model: Annotated[str, typer.Option("--model", help="New model: a folder or a hub name.")],
    queries: Queries = None,
    wait: Wait = False,
    pooling: Pooling = None,
    batch_size: BatchSize = None,
    device: Device = None,
    backend: BackendOption = "torch",
    dtype: Dtype = "float32",
    trust_remote_code: TrustIndex = False,
) -> None:
    """Encode all texts of an index again with another model, in one commit. Until then the index stays as it is.

    Example: simcse-kit index rebuild tickets-index --model my-model
    Example: simcse-kit index rebuild tickets-index --model my-model --queries queries.txt --wait
    """
    from simcse_kit.cli.console import escaped, out
    from simcse_kit.index.rebuild import check_rebuild, rebuild_index
    from simcse_kit.model import SimCSE

    check_rebuild(index)
    encoder = SimCSE(
        model, pooling=pooling, device=device, backend=backend, dtype=dtype, trust_remote_code=trust_remote_code
    )
    rebuilt = rebuild_index(
        index,
        encoder,
        queries=queries_of(queries),
        batch_size=batch_size,
        wait=wait,
        show_progress_bar=True,
        trust_remote_code=trust_remote_code,
    )
    info = rebuilt.info()
    out().print(
        f"{counted(len(rebuilt), 'sentence')} of {escaped(masked(index))} encoded with {escaped(model)}: commit "
        f"{info.generation}"
    )
