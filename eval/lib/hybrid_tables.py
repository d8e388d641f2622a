"""The table of results/hybrid.json."""

from __future__ import annotations

from typing import Any

from lib.record import load

_WAYS = {
    "dense": "meaning (`dense`)",
    "keyword": "words (`keyword`)",
    "plain": "reciprocal rank fusion, equal weights",
    "hybrid": "**both (`hybrid`)**",
}
_METRICS = {"ndcg@10": "nDCG@10", "p@10": "P@10", "hit@5": "found among 5"}


def hybrid_table() -> str:
    """A line for each way to search, a column for each domain."""
    found = load("hybrid")
    domains: dict[str, dict[str, Any]] = found["domains"]
    names = [f"{name}, {_METRICS[own['metric']]}" for name, own in domains.items()]
    lines = [f"| | {' | '.join(names)} |", f"| --- |{' ---: |' * len(names)}"]
    for way, words in _WAYS.items():
        lines.append(f"| {words} | {' | '.join(_cell(own['ways'][way]) for own in domains.values())} |")
    held_out = ", ".join(name for name, own in domains.items() if not own["developed"])
    return (
        f"{found['model']}; the weights were chosen on the other domains, not on {held_out}. In brackets the 95 %\n"
        "interval of the difference from meaning. Codes: reports of errors, asked for by their codes\n"
        "([hybrid.json](eval/results/hybrid.json)):\n\n" + "\n".join(lines)
    )


def _cell(own: dict[str, Any]) -> str:
    if "change" not in own:
        return f"{own['score']:.1f}"
    low, high = own["change_interval"]
    return f"{own['score']:.1f} ({low:+.1f} to {high:+.1f})"
