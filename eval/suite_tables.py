"""What results/suites.json says, as lines for the README."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from record import has, load


def suite_tables() -> Iterator[str]:
    """SentEval's transfer tasks with their intervals, and the geometry."""
    if not has("suites"):
        return
    result = load("suites")
    own = {entry["suite"]: entry for entry in result["results"] if entry["model"] == result["results"][0]["model"]}
    yield from _transfer(own["transfer"], result["transfer_reference"])
    yield from _geometry(own["geometry"])


def _transfer(entry: dict[str, Any], reference: dict[str, Any]) -> Iterator[str]:
    names = list(entry["scores"])
    yield f"SentEval's transfer tasks, accuracy × 100, {entry['model']} ([suites.json](eval/results/suites.json)):"
    yield ""
    yield "| | " + " | ".join(names) + " |"
    yield "| --- | " + " | ".join(["---:"] * len(names)) + " |"
    yield "| ours, 5 folds | " + " | ".join(f"{entry['scores'][name]:.2f}" for name in names) + " |"
    ends = ("–".join(f"{end:.1f}" for end in entry["intervals"][name]) for name in names)
    yield "| 95 % interval | " + " | ".join(ends) + " |"
    original = reference["original"]
    yield (
        "| the original, fast mode | " + " | ".join(f"{original[n]:.2f}" if n in original else "" for n in names) + " |"
    )
    yield ""
    yield f"Encoding {entry['sentences']:,} sentences and all classifiers took {entry['seconds']:.0f} s."
    yield ""


def _geometry(entry: dict[str, Any]) -> Iterator[str]:
    figures = ", ".join(f"{name} {value:.2f}" for name, value in entry["scores"].items())
    yield f"Its geometry on STS-B: {figures}."
    yield ""
