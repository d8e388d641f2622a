"""Tables of results/adapt.json, and what `simcse-kit adapt` says of its methods."""

from __future__ import annotations

import statistics
from collections import defaultdict
from typing import Any

from record import has, load

START = "all-MiniLM-L6-v2"
CLASSES = ("banking77", "clinc150", "stackoverflow")
DOCUMENTS = ("cranfield",)

ROWS = {
    "start": "start, as it is",
    "simcse": "plain SimCSE (`train unsup`)",
    "rankcse": "RankCSE, the start as teacher",
    "mlm": "masked language model",
    "tsdae": "TSDAE",
    "neighbour-pairs": "neighbours as positives",
    "averaged-index": "no training: vectors averaged with their neighbours",
    "adapt": "**`adapt`**",
    "adapt-teacher": "**`adapt --teacher all-mpnet-base-v2`**",
    "adapt-labels-few": "**`adapt --label-column`**, 8 texts a class",
    "adapt-labels": "**`adapt --label-column`**, all texts",
}
_SCORE = {"banking77": "p@10", "clinc150": "p@10", "stackoverflow": "p@10", "cranfield": "ndcg@10"}
_SHOWN = {"p@10": "P@10", "ndcg@10": "nDCG@10"}


def cells(start: str = START) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """Finished cells of a start model by method and domain."""
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for cell in load("adapt")["cells"] if has("adapt") else []:
        if cell["start"] == start:
            found[cell["method"], cell["domain"]].append(cell)
    return found


def mean(found: list[dict[str, Any]], domain: str) -> float:
    """Over the seeds."""
    return statistics.fmean(cell["scores"][_SCORE[domain]] for cell in found)


def adapt_table() -> str:
    """A line for each method that was measured, a column for each domain."""
    found = cells()
    if not found:
        return ""
    domains = [domain for domain in _SCORE if ("start", domain) in found]
    lines = [
        f"| | {' | '.join(f'{domain}, {_SHOWN[_SCORE[domain]]}' for domain in domains)} | STS | seeds |",
        f"| --- |{' ---: |' * (len(domains) + 2)}",
    ]
    for method, title in ROWS.items():
        own = [found.get((method, domain), []) for domain in domains]
        if any(own):
            shown = [f"{mean(one, domain):.1f}" if one else "" for one, domain in zip(own, domains, strict=True)]
            counts = sorted({len(one) for one in own if one})
            seeds = " or ".join(map(str, counts))  # by domain
            shown += [_sts(method, [cell for one in own for cell in one])]
            shown += ["" if method in ("start", "averaged-index") else seeds]
            lines.append(f"| {title} | {' | '.join(shown)} |")
    head = (
        "Start all-MiniLM-L6-v2; mean over the seeds of what was measured so far. STS: average of the seven tasks,\n"
        "mean over the domains (`python eval/adapt.py --sts`, [adapt.json](eval/results/adapt.json)):"
    )
    return head + "\n\n" + "\n".join(lines)


def _sts(method: str, found: list[dict[str, Any]]) -> str:
    """What is left of STS; the start's own stands in sts.json."""
    if method == "start":
        return f"{load('sts')['results'][0]['scores']['avg']:.1f}"
    known = [cell["sts"] for cell in found if "sts" in cell]
    return f"{statistics.fmean(known):.1f}" if known else ""


def method_figures() -> dict[str, dict[str, Any]]:
    """By `adapt`'s method: the score, and its change from the start on every domain where it was the method."""
    found = cells()
    changes: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for (method, domain), own in found.items():
        if method == "adapt" and ("start", domain) in found:
            before = mean(found["start", domain], domain)
            used = own[0]["used"]
            changes[used][_SHOWN[_SCORE[domain]]].append(round(mean(own, domain) - before, 1))
    return {
        name: {"score": score, "changes": sorted(values)}
        for name, by_score in sorted(changes.items())
        for score, values in by_score.items()
    }


def harm_figures() -> dict[str, list[float]]:
    """P@10 before and after plain SimCSE, on every domain with classes where it was measured."""
    found = cells()
    return {
        domain: [round(mean(found[method, domain], domain), 1) for method in ("start", "simcse")]
        for domain in CLASSES
        if ("start", domain) in found and ("simcse", domain) in found
    }


def harm_line() -> str:
    """For the README."""
    told = [f"{domain} {before:.1f} before and {after:.1f} after" for domain, (before, after) in harm_figures().items()]
    return (
        "Measured on all-MiniLM-L6-v2 with mean pooling, without labels, the share of right answers among the ten\n"
        f"nearest: {', '.join(told)}\n([adapt.json](eval/results/adapt.json))."
    )


def mean_gain(method: str = "adapt") -> float:
    """P@10 over the three domains with classes, beside the start."""
    found = cells()
    return statistics.fmean(
        mean(found[method, domain], domain) - mean(found["start", domain], domain) for domain in CLASSES
    )
