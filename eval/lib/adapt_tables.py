"""Tables from results/adapt.json, and the effects that `simcse-kit adapt` prints for its methods."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from lib.gate_table import gate_table
from lib.record import has, load
from simcse_kit.evaluation import Difference, Outcome, SuiteResult, compare
from simcse_kit.evaluation.gate import LEAST_KEPT
from simcse_kit.wording import counted

START = "all-MiniLM-L6-v2"
CLASSES = ("banking77", "clinc150", "stackoverflow")
DOCUMENTS = ("cranfield",)

LOSSES = ("MultipleNegativesRankingLoss", "BatchAllTripletLoss")
OWN_LOSS = "adapt"

SHORT = ("start", "simcse", "adapt", "adapt-teacher", "adapt-labels-few", "adapt-labels")
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
    """Table for the README: the choices of a user."""
    return (
        "Start all-MiniLM-L6-v2; mean over the seeds. STS: average of the seven tasks, mean over the domains\n"
        "([adapt.json](eval/results/adapt.json); more methods, the spread and intervals in\n"
        "[eval/README.md](eval/README.md)):\n\n" + "\n".join(_methods(START, SHORT, spread=False))
    )


def _methods(start: str, methods: Sequence[str], *, spread: bool = True) -> Iterator[str]:
    """One row per measured method, one column per domain."""
    found = cells(start)
    domains = _domains(found)
    yield from _head([*_titles(domains), "STS", "seeds"])
    for method, own in _measured(found, methods, domains):
        counts = sorted({len(one) for one in own if one})
        seeds = "" if method in ("start", "averaged-index") else " or ".join(map(str, counts))  # by domain
        shown = [_score(one, domain, spread) for one, domain in zip(own, domains, strict=True)]
        sts = _sts(start, method, [cell for one in own for cell in one])
        yield f"| {ROWS[method]} | {' | '.join([*shown, sts, seeds])} |"


Cells = dict[tuple[str, str], list[dict[str, Any]]]


def _domains(found: Cells) -> list[str]:
    return [domain for domain in _SCORE if ("start", domain) in found]


def _titles(domains: Sequence[str]) -> list[str]:
    return [f"{domain}, {_SHOWN[_SCORE[domain]]}" for domain in domains]


def _head(titles: Sequence[str]) -> Iterator[str]:
    yield f"| | {' | '.join(titles)} |"
    yield f"| --- |{' ---: |' * len(titles)}"


def _measured(
    found: Cells, methods: Sequence[str], domains: Sequence[str]
) -> Iterator[tuple[str, list[list[dict[str, Any]]]]]:
    """Every method with a cell, and its cells on each domain."""
    for method in methods:
        own = [found.get((method, domain), []) for domain in domains]
        if any(own):
            yield method, own


def _score(found: list[dict[str, Any]], domain: str, spread: bool) -> str:
    """Mean over the seeds; also the lowest and highest."""
    if not found:
        return ""
    scores = [cell["scores"][_SCORE[domain]] for cell in found]
    ends = f" ({min(scores):.1f}–{max(scores):.1f})" if spread and len(scores) > 1 else ""
    return f"{mean(found, domain):.1f}{ends}"


def _changes(start: str, methods: Sequence[str]) -> Iterator[str]:
    """One row per method: its change from the start model, with an interval, on each domain."""
    found = cells(start)
    domains = _domains(found)
    yield from _head(_titles(domains))
    for method, own in _measured(found, [name for name in methods if name != "start"], domains):
        shown = [
            _change(change(found["start", domain], one, domain)) if one else ""
            for one, domain in zip(own, domains, strict=True)
        ]
        yield f"| {ROWS[method]} | {' | '.join(shown)} |"


def change(start: list[dict[str, Any]], own: list[dict[str, Any]], domain: str) -> Difference:
    """From the start model to the seeds of a method, paired over the queries."""
    return compare(*([_result(cell, domain) for cell in side] for side in (start, own)))[0]


def _result(cell: dict[str, Any], domain: str) -> SuiteResult:
    """The domain's score of a cell, as its suite returned it."""
    score = _SCORE[domain]
    outcome = Outcome(score, "mean", np.array(cell["queries"]))
    return SuiteResult(suite=domain, scores={score: cell["scores"][score]}, outcomes=(outcome,))


def _change(found: Difference) -> str:
    return f"{found.difference:+.1f} ({found.interval.low:+.1f} to {found.interval.high:+.1f})"


def _sts(start: str, method: str, found: list[dict[str, Any]]) -> str:
    """STS average; the start model's is in sts.json."""
    if method == "start" and start == START:
        return f"{load('sts')['results'][0]['scores']['avg']:.1f}"
    known = [cell["sts"] for cell in found if "sts" in cell]
    return f"{statistics.fmean(known):.1f}" if known else ""


def method_figures() -> dict[str, dict[str, Any]]:
    """By method of `adapt`: the score, and its change on every domain for which `adapt` chose the method."""
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
    """P@10 before and after plain SimCSE, on every measured domain with classes."""
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
    """P@10 over the three domains with classes, next to the start model's."""
    found = cells()
    return statistics.fmean(
        mean(found[method, domain], domain) - mean(found["start", domain], domain) for domain in CLASSES
    )


def adapt_page() -> list[str]:
    """What eval/README.md has of `adapt`: every method, other start models, the gate, losses for classes, its time."""
    starts = sorted({cell["start"] for cell in load("adapt")["cells"]}, key=lambda name: name != START)
    parts = []
    for start in starts:
        parts += [
            f"From {start} ([adapt.json](eval/results/adapt.json)); in brackets the lowest and highest seed:\n\n"
            + "\n".join(_methods(start, tuple(ROWS))),
            "The change from the start, with its 95 % interval (paired; queries and seeds are drawn):\n\n"
            + "\n".join(_changes(start, tuple(ROWS))),
        ]
    parts += [gate_table(LEAST_KEPT), losses_table(), speed_line(), judging_line()]
    return ["## Adapting to your own texts", "", *(line for part in parts if part for line in (part, ""))]


def losses_table() -> str:
    """One row per loss: mean P@10 over the seeds; for sentence-transformers the best learning rate."""
    rows = load("label_losses")["cells"] if has("label_losses") else []
    columns = [
        (texts, domain)
        for texts in ("8 a class", "all")
        for domain in CLASSES
        if any((row["texts"], row["domain"]) == (texts, domain) for row in rows)
    ]
    if not columns:
        return ""
    lines = [
        f"| | {' | '.join(f'{domain}, {texts}' for texts, domain in columns)} |",
        f"| --- |{' ---: |' * len(columns)}",
    ]
    for name in (OWN_LOSS, *LOSSES):
        shown = []
        for column in columns:
            here = [row for row in rows if (row["texts"], row["domain"]) == column and row["loss"] == name]
            rates = sorted({row["learning_rate"] for row in here})
            means = [statistics.fmean(row["p@10"] for row in here if row["learning_rate"] == rate) for rate in rates]
            shown.append(f"{max(means):.1f}" if means else "")
        lines.append(
            f"| {'`adapt` (SupCon)' if name == OWN_LOSS else f'sentence-transformers, {name}'} | {' | '.join(shown)} |"
        )
    seeds = len({row["seed"] for row in rows})
    head = (
        "Classes beside sentence-transformers: the same texts, start, steps and texts in a step; P@10, "
        f"{counted(seeds, 'seed')}, of theirs the best of the learning rates tried "
        "([label_losses.json](eval/results/label_losses.json)):"
    )
    return head + "\n\n" + "\n".join(lines)


def speed_line() -> str:
    """Seconds for 10,000 texts, by part."""
    runs = load("adapt_speed")["runs"] if has("adapt_speed") else []
    if not runs:
        return ""
    whole = statistics.median(run["seconds"] for run in runs)
    shares = [
        f"{name} {100 * statistics.median(run['parts'][name] / run['seconds'] for run in runs):.0f} %"
        for name in ("training", "targets", "gate", "choosing")
    ]
    return (
        f"10,000 short texts, no teacher, two quiet cores: {whole:.0f} s, median of {len(runs)} domains "
        f"({', '.join(shares)}; [adapt_speed.json](eval/results/adapt_speed.json))."
    )


def judging_line() -> str:
    """Cost of thirty judged queries."""
    if not has("judging"):
        return ""
    found = load("judging")
    return (
        f"Judging {found['queries']} queries: {found['hits']} hits, {found['words']:,} words to read, {found['keys']} "
        f"keys, {found['program_seconds']:g} s of the program's own; about {found['minutes']:g} minutes at 238 words "
        "a minute and 0.28 s a key ([judging.json](eval/results/judging.json))."
    )
