"""Tables of examples/scaling.md from results/: measured costs per million texts, and plans from them."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from lib.record import has, load

SIZES = (100_000_000, 1_000_000_000)
_LONGER = "~"  # mark of extrapolated values
_HOUR, _GIB = 3600, 2**30
_SOURCES = ("speed_encode.json", "search.json", "search_large.json")
_ENCODED_BY = "ours openvino bfloat16"


class Costs(NamedTuple):
    """Measurements of one machine; values that grow with the number of texts are per million."""

    rows: int  # rows of the largest measured index
    dimension: int
    encode_seconds: float
    add_seconds: float
    structure_seconds: float
    disk_bytes: float
    search_bytes: float  # private memory
    build_bytes: int  # private memory at the peak, not per million
    query_milliseconds: float  # with all pages in the system's cache


def costs() -> Costs:
    """From search_large.json and speed_encode.json."""
    large = load("search_large")
    build, search, rows = large["build"], large["search"], large["rows"]
    millions = rows / 1e6
    encoded = next(system for system in load("speed_encode")["systems"] if system["name"] == _ENCODED_BY)
    return Costs(
        rows=rows,
        dimension=384,  # MiniLM's
        encode_seconds=1e6 / encoded["short"]["sentences_per_second"],
        add_seconds=build["add_seconds"] / millions,
        structure_seconds=build["structure_seconds"] / millions,
        disk_bytes=search["disk_bytes"] / millions,
        search_bytes=search["memory"]["own_mebibytes"] * 2**20 / millions,
        build_bytes=int(build["memory"]["own_mebibytes"] * 2**20),
        query_milliseconds=search["milliseconds"]["p50"],
    )


def scaling_blocks() -> dict[str, str]:
    """Name of each block of examples/scaling.md and its lines."""
    found = costs()
    return {
        "costs": _costs(found),
        "plan": _plan(found),
        "corpus": _corpus(),
        "sizes": _sizes(found),
        "training": _training(),
    }


def _costs(found: Costs) -> str:
    machine, other = load("search_large")["machine"], load("speed_encode")["machine"]
    tokens = load("speed_encode")["texts"]["short"]
    mean = tokens["tokens"] / tokens["texts"]
    lines = [
        "| step | per million texts | from |",
        "| --- | ---: | --- |",
        f"| encode, all-MiniLM-L6-v2, OpenVINO in bfloat16, {mean:.0f} tokens a text | "
        f"{found.encode_seconds / 60:.0f} min | [speed_encode.json](eval/results/speed_encode.json) |",
    ]
    source = "[search_large.json](eval/results/search_large.json)"
    for what, value in (
        ("add and commit", f"{found.add_seconds:.0f} s"),
        ("make the structure, kind pq", f"{found.structure_seconds:.0f} s"),
        ("disk", f"{found.disk_bytes / _GIB:.2f} GiB"),
        ("memory of its own while searching", f"{found.search_bytes / 2**20:.0f} MiB"),
    ):
        lines.append(f"| {what} | {value} | {source} |")
    lines += [
        "",
        f"An index of {found.rows / 1e6:g} million vectors of {found.dimension} dimensions took "
        f"{found.build_bytes / _GIB:.1f} GiB of its own while it was built. A query took "
        f"{found.query_milliseconds:.1f} ms with all files in the system's page cache. "
        f"The rate of encoding was measured on {tokens['texts']:,} texts, on {_said(other)}; the index on "
        f"{found.rows / 1e6:g} million texts, on {_said(machine)}.",
    ]
    return "\n".join(lines)


def _said(machine: dict[str, Any]) -> str:
    return f"{machine['cores']} cores ({machine['processor']})"


def _plan(found: Costs) -> str:
    sizes = (found.rows, *SIZES)
    lines = ["| texts | " + " | ".join(map(_count, sizes)) + " |", "| --- |" + " ---: |" * len(sizes)]
    machines = lambda n: f"{max(1, math.ceil(found.encode_seconds * n / (24 * _HOUR)))}"  # noqa: E731
    for what, largest, cell in (
        ("encode on one such machine, hours", 0, lambda n: _figure(found.encode_seconds * n / _HOUR)),
        ("such machines to encode in a day, with Ray", 0, machines),
        ("add and commit, hours", found.rows, lambda n: _figure(found.add_seconds * n / _HOUR)),
        ("make the structure, hours", found.rows, lambda n: _figure(found.structure_seconds * n / _HOUR)),
        ("disk, GiB", found.rows, lambda n: _figure(found.disk_bytes * n / _GIB)),
        ("memory of its own while searching, GiB", found.rows, lambda n: _figure(found.search_bytes * n / _GIB)),
        ("one query, ms", found.rows, lambda n: _figure(found.query_milliseconds * n * 1e6 / found.rows)),
    ):
        cells = [("" if size <= largest else _LONGER) + cell(size / 1e6) for size in sizes]
        lines.append(f"| {what} | " + " | ".join(cells) + " |")
    built = [_figure(found.build_bytes / _GIB), *["not measured"] * len(SIZES)]
    lines.append("| memory of its own at the peak of a build, GiB | " + " | ".join(built) + " |")
    lines += [
        "",
        f"{_LONGER} marks what is extrapolated: the costs above, times the number of texts. No index of more than "
        f"{_count(found.rows)} texts was measured. Queries have all files in the page cache.",
    ]
    return "\n".join(lines)


def _count(rows: int) -> str:
    if rows >= 1_000_000_000:
        return f"{rows / 1e9:g} billion"
    return f"{rows / 1e6:g} million" if rows >= 1_000_000 else f"{rows:,}"


def _figure(value: float) -> str:
    """Two significant digits.

    >>> _figure(1234.5), _figure(26.7), _figure(0.269)
    ('1,200', '27', '0.27')
    """
    rounded = float(f"{value:.2g}")
    return f"{rounded:,.0f}" if rounded >= 10 else f"{rounded:g}"


class _Measured(NamedTuple):
    """An index of kind pq."""

    rows: int
    build_seconds: float
    disk_bytes: float
    own_mebibytes: float
    query_milliseconds: float
    recall: float


def _indexes() -> list[_Measured]:
    """The sizes that search.json and search_large.json have, smallest first."""
    found = []
    for corpus in load("search")["corpora"].values():
        ours = next(system for system in corpus["systems"] if system["name"] == "ours, pq")
        found.append(
            _Measured(
                corpus["rows"],
                ours["build_seconds"],
                ours["disk_bytes"],
                corpus["memory"]["pq"]["own_mebibytes"],
                ours["p50_milliseconds"],
                ours["recall_at_10"],
            )
        )
    large = load("search_large")
    build, search = large["build"], large["search"]
    seconds = build["add_seconds"] + build["structure_seconds"]
    own = search["memory"]["own_mebibytes"]
    query = search["milliseconds"]["p50"]
    return [*found, _Measured(large["rows"], seconds, search["disk_bytes"], own, query, search["recall_at_10"])]


def _sizes(found: Costs) -> str:
    """What a laptop can do: encoding by its rate, indexes as measured."""
    indexes = _indexes()
    lines = [
        "| texts | " + " | ".join(_count(one.rows) for one in indexes) + " |",
        "| --- |" + " ---: |" * len(indexes),
    ]
    for what, cell in (
        ("encode, minutes", lambda one: _LONGER + _figure(found.encode_seconds * one.rows / 1e6 / 60)),
        ("make the index, minutes", lambda one: _figure(one.build_seconds / 60)),
        ("disk of the index, GiB", lambda one: _figure(one.disk_bytes / _GIB)),
        ("memory of its own while searching, MiB", lambda one: _figure(one.own_mebibytes)),
        ("one query without its encoding, ms", lambda one: _figure(one.query_milliseconds)),
        ("share of the ten nearest that it finds", lambda one: f"{one.recall:.3f}"),
    ):
        lines.append(f"| {what} | " + " | ".join(cell(one) for one in indexes) + " |")
    short, cores = load("speed_encode")["texts"]["short"], load("search")["machine"]["cores"]
    sources = ", ".join(f"[{name}](eval/results/{name})" for name in _SOURCES)
    lines += [
        "",
        f"all-MiniLM-L6-v2 ({found.dimension} dimensions) in OpenVINO's bfloat16, texts of "
        f"{short['tokens'] / short['texts']:.0f} tokens, kind pq, {cores} cores. {_LONGER} marks what is extrapolated: "
        f"the rate over {short['texts']:,} texts, times the number of texts ({sources}).",
    ]
    return "\n".join(lines)


def _training() -> str:
    """Hours per million texts, from rates."""
    speed, adapted = load("speed_train"), load("adapt_speed")["runs"]
    texts = sum(run["texts"] for run in adapted)
    adapt_rate = texts / sum(run["seconds"] for run in adapted)
    lines = ["| command | texts a second | hours per million texts | from |", "| --- | ---: | ---: | --- |"]
    trained = "[speed_train.json](eval/results/speed_train.json)"
    for what, rate, source in (
        ("`train unsup`, one epoch", speed["unsup"]["rows_per_second"]["ours default"], trained),
        ("`train sup`, triplets, one epoch", speed["sup"]["rows_per_second"]["ours default"], trained),
        ("`adapt`, with its checks", adapt_rate, "[adapt_speed.json](eval/results/adapt_speed.json)"),
    ):
        lines.append(f"| {what} | {rate:.0f} | {_LONGER}{_figure(1e6 / rate / _HOUR)} | {source} |")
    memory = load("memory")
    lines += [
        "",
        f"all-MiniLM-L6-v2 on {speed['machine']['cores']} cores. {_LONGER} marks the rate times a million. A batch of "
        f"{memory['batch_size']:,} sentences with `--mini-batch-size {memory['mini_batch_size']}` took "
        f"{memory['peak_gib']:.1f} GiB at its peak ([memory.json](eval/results/memory.json)).",
    ]
    return "\n".join(lines)


def _corpus() -> str:
    """Memory over corpora of growing size."""
    result = load("encode_corpus")
    lines = [
        f"`encode` over {result['rows'] / 1e6:g} million texts with a tiny model took "
        f"{result['peak_beyond_the_model_bytes'] / 2**20:,.0f} MiB beyond the model; killed once, it went on at row "
        f"{result['resumed_at']:,} ([encode_corpus.json](eval/results/encode_corpus.json)).",
    ]
    if has("large_corpus"):
        lines += large_corpus_lines()
    return "\n".join(lines)


def large_corpus_lines() -> list[str]:
    """`prepare sentences` and `index build` at each size, as a table."""
    result = load("large_corpus")
    lines = [
        "",
        "`prepare sentences` and `index build` ([large_corpus.json](eval/results/large_corpus.json)):",
        "",
        "| | MB/s | memory of its own, MiB |",
        "| --- | ---: | ---: |",
    ]
    for name, size in (("prepare", "bytes"), ("index", "rows")):
        for line in result.get(name, {}).get("sizes", []):
            what = f"{line[size] / 1e9:.2g} GB" if size == "bytes" else f"{line[size] / 1e6:g} million texts"
            title = {"prepare": "`prepare sentences`", "index": "`index build`"}[name]
            lines.append(f"| {title}, {what} | {line['megabytes_per_second']:.1f} | {line['own_bytes'] / 2**20:,.0f} |")
    return lines
