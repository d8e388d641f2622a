"""What results/suites.json says, as lines for the README."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from lib.record import has, load


def suite_tables() -> Iterator[str]:
    """SentEval's transfer tasks with their intervals, and the geometry."""
    if not has("suites"):
        return
    result = load("suites")
    models: dict[str, dict[str, dict[str, Any]]] = {}
    for entry in result["results"]:
        models.setdefault(entry["model"], {})[entry["suite"]] = entry
    yield from _transfer(next(iter(models.values()))["transfer"], result["transfer_reference"])
    yield from _every_suite(models)


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


_SCORES = (("sts", "avg", "STS avg"), ("korsts", "KorSTS", "KorSTS"), ("transfer", "avg", "transfer avg"))
_GEOMETRY = ("alignment", "uniformity", "effective rank", "hubness", "length bias", "overlap bias")


def _every_suite(models: dict[str, dict[str, dict[str, Any]]]) -> Iterator[str]:
    """A line for each model: averages with their intervals, how its vectors lie."""
    first = next(iter(models))
    yield (
        f"Every offline suite, seed 1 of each recipe above, MiniLM's CLS vector at the start; {first} is with its mean "
        "pooling. Bold: better than that by an interval of the difference without zero. Geometry on STS-B:"
    )
    yield ""
    heads = [head for _, _, head in _SCORES] + list(_GEOMETRY)
    yield "| | " + " | ".join(heads) + " |"
    yield "| --- | " + " | ".join(["---:"] * len(heads)) + " |"
    for name, suites in models.items():
        cells = []
        for suite, score, _ in _SCORES:
            entry = suites[suite]
            low, high = entry["intervals"][score]
            better = entry.get("against_the_first", {}).get(score, {}).get("verdict") == "better"
            shown = f"{entry['scores'][score]:.2f}"
            cells.append(f"{f'**{shown}**' if better else shown} ({low:.1f}–{high:.1f})")
        cells += [f"{suites['geometry']['scores'][measure]:.2f}" for measure in _GEOMETRY]
        yield f"| {name} | " + " | ".join(cells) + " |"
    yield ""
