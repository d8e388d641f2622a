"""results/families.json as a table."""

from __future__ import annotations

from collections.abc import Iterator

from lib.record import has, load


def families_table() -> Iterator[str]:
    """One row per encoder family; reasons of failures below."""
    if not has("families"):
        return
    families = load("families")["families"]
    columns = list(next(iter(families.values())))
    yield "## Encoder families"
    yield ""
    yield "Random two-layer models ([families.json](results/families.json)). By length: padding changes this family's"
    yield "vectors, so each batch holds texts of one length. In float32: bfloat16 fails, and float32 stands in."
    yield "No: the vectors differ, or the reason below the table."
    yield ""
    yield "| family | " + " | ".join(columns) + " |"
    yield "| --- |" + " --- |" * len(columns)
    for family, found in families.items():
        cells = [found[column].partition(":")[0] for column in columns]
        yield f"| {family} | " + " | ".join(cells) + " |"
    yield ""
    reasons = [
        f"- {family}, {column}: {what.removeprefix('no: ')}"
        for family, found in families.items()
        for column, what in found.items()
        if what.startswith("no: ")
    ]
    if reasons:
        yield from ["What does not work, and the reason that is given:", "", *reasons, ""]
