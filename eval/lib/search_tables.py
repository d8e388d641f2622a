"""The README's tables of search, the server and Milvus, from results/."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lib.record import has, load

_CORPORA = {"distinct": "real vectors of {:,} distinct sentences", "noisy": "the same with noise, {:,} rows"}


def search_tables() -> Iterator[str]:
    """Each on its own lines, where it has been measured."""
    for table in (_side_by_side, _peers, _large, _serving, _stores):
        yield from table()


def _side_by_side() -> Iterator[str]:
    if not has("search"):
        return
    result = load("search")
    yield ""
    yield (
        f"Search alone, the 10 nearest, {result['queries']:,} held-out sentences as queries, the systems taking turns; "
        "× is to plain FAISS's exact search ([search.json](eval/results/search.json)):"
    )
    for name, title in _CORPORA.items():
        corpus = result["corpora"][name]
        yield ""
        yield f"| {title.format(corpus['rows'])} | recall | p50, ms | p99, ms | × | queries/s | build, s | disk, MiB |"
        yield "| --- |" + " ---: |" * 7
        for system in corpus["systems"]:
            disk = "" if system["disk_bytes"] is None else f"{system['disk_bytes'] / 2**20:,.0f}"
            yield (
                f"| {system['name']} | {system['recall_at_10']:.4f} | {system['p50_milliseconds']:.2f} | "
                f"{system['p99_milliseconds']:.2f} | {system['exact_over_p50']:.1f} | "
                f"{system['queries_per_second']:,.0f} | {system['build_seconds']:.1f} | {disk} |"
            )
    noisy = result["corpora"]["noisy"]
    kind = result["kind"]
    ours = next(system for system in noisy["systems"] if system["name"] == f"ours, {kind}")
    whole = result["corpora"]["distinct"]["with_encoding"]
    yield ""
    yield (
        f"The million opens in {ours['open_seconds']:.3f} s and answers with "
        f"{noisy['memory'][kind]['own_mebibytes']:,.0f} MiB of its own ({kind}); adding a sentence takes "
        f"{1e3 * ours['add_one_seconds']:.0f} ms, deleting it "
        f"{1e3 * ours['delete_one_seconds']:.0f} ms. From a query's text to its hits among the distinct sentences: "
        f"{whole['p50_milliseconds']:.1f} ms, p99 {whole['p99_milliseconds']:.1f} ms (OpenVINO, bfloat16)."
    )


def _peers() -> Iterator[str]:
    """Each tuned to two recalls, on one core and on two."""
    corpora = load("search")["corpora"] if has("search") else {}
    for name, title in _CORPORA.items():
        if "peers" not in corpora.get(name, {}):
            continue
        corpus = corpora[name]
        yield ""
        yield (
            f"Approximate search on {title.format(corpus['rows'])}, each system in a process of its own, tuned to a "
            "recall on held-out sentences; peers find rows, ours fetches their texts too:"
        )
        yield ""
        yield (
            "| | aim | recall | queries/s, 1 core | 2 cores | p50, ms | own memory, MiB | build, s | disk, MiB | "
            "an add survives a kill |"
        )
        yield "| --- |" + " ---: |" * 8 + " --- |"
        for system in corpus["peers"]:
            for one, two in zip(system["cores"]["1"], system["cores"]["2"], strict=True):
                survives = {True: "yes", False: "no", None: "cannot add"}[system["add_survives_kill"]]
                yield (
                    f"| {system['name'].rpartition(':')[0].replace('ours:', 'ours, ') or system['name']} | "
                    f"{two['target']} | {two['recall_at_10']:.4f} | {one['queries_per_second']:,.0f} | "
                    f"{two['queries_per_second']:,.0f} | {two['p50_milliseconds']:.2f} | "
                    f"{system['own_bytes'] / 2**20:,.0f} | {system['build_seconds']:.1f} | "
                    f"{system['disk_bytes'] / 2**20:,.0f} | {survives} |"
                )
        split = next(one["milliseconds_of_a_query"] for one in reversed(corpus["peers"]) if "ours:" in one["name"])
        yield ""
        yield (
            f"Of the {split['whole']:.2f} ms of one of our queries, the vector search takes "
            f"{split['vector_search']:.2f}, reading the texts {split['texts']:.2f}, and checks and Python objects "
            f"{split['checks_and_objects']:.2f}."
        )


def _large() -> Iterator[str]:
    if not has("search_large"):
        return
    result = load("search_large")
    build, search = result["build"], result["search"]
    own = {step: result[step]["memory"]["own_mebibytes"] / 1024 for step in ("build", "search")}
    yield ""
    yield (
        f"{result['rows'] / 1e6:g} million vectors, kind {result['kind']} "
        "([search_large.json](eval/results/search_large.json)): "
        f"recall {search['recall_at_10']:.3f}, {search['milliseconds']['p50']:.1f} ms a query (p99 "
        f"{search['milliseconds']['p99']:.0f} ms), opened in {search['open_seconds']:.2f} s; added and committed in "
        f"{build['add_seconds'] / 60:.0f} min, the structure made in {build['structure_seconds'] / 60:.0f} min; memory "
        f"of its own {own['build']:.1f} GiB while building and {own['search']:.1f} GiB while searching, "
        f"{search['disk_bytes'] / 2**30:.1f} GiB on the disk."
    )


def _serving() -> Iterator[str]:
    if not has("serve"):
        return
    result = load("serve")
    yield ""
    yield (
        f"`simcse-kit serve`, {result['clients']} clients at once, a sentence a request, over the loopback with the "
        "clients on the same 2 cores ([serve.json](eval/results/serve.json)), sentences/s:"
    )
    yield ""
    yield "| | 1 client | 32 clients, batches of one | 32 clients | × | p50, ms | p99, ms | one call, offline |"
    yield "| --- |" + " ---: |" * 7
    for server in result["servers"]:
        rate, times = server["sentences_per_second"], server["milliseconds"]["32 clients"]
        yield (
            f"| {server['backend']} {server['dtype']} | {rate['1 client']:,.0f} | "
            f"{rate['32 clients, batches of one']:,.0f} | {rate['32 clients']:,.0f} | "
            f"{server['batched_over_batches_of_one']:.1f} | {times['p50']:.0f} | {times['p99']:.0f} | "
            f"{rate['offline']:,.0f} |"
        )


def _stores() -> Iterator[str]:
    if not has("milvus"):
        return
    result = load("milvus")
    yield ""
    yield (
        f"A folder and Milvus Lite {result['milvus']['milvus-lite']}, {result['rows']:,} sentences with metadata "
        "([milvus.json](eval/results/milvus.json)):"
    )
    yield ""
    yield "| | recall | p50, ms | p50 with a filter, ms | build, s | open, s | add one, ms | disk, MiB |"
    yield "| --- |" + " ---: |" * 7
    for system in result["systems"]:
        yield _store(system)


def _store(system: dict[str, Any]) -> str:
    return (
        f"| {system['name']} | {system['recall_at_10']:.4f} | {system['p50_milliseconds']:.1f} | "
        f"{system['filtered_p50_milliseconds']:.1f} | {system['build_seconds']:.1f} | {system['open_seconds']:.2f} | "
        f"{1e3 * system['add_one_seconds']:.0f} | {system['disk_bytes'] / 2**20:,.0f} |"
    )
