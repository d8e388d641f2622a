"""The eight figures of the README, from results/."""

from __future__ import annotations

import statistics

from lib.adapt_tables import CLASSES, START, cells, mean
from lib.record import load

_METHODS = {
    "start": f"{START}, as it is",
    "simcse": "after plain SimCSE on the same texts",
    "adapt": "after `adapt`, without labels",
    "adapt-teacher": "after `adapt --teacher all-mpnet-base-v2`",
    "adapt-labels": "after `adapt --label-column`",
}


def front_table() -> str:
    """A line for each figure, with the script that measured it."""
    lines = ["| | figure | measured by |", "| --- | ---: | --- |"]
    lines += [_search_quality(method, what) for method, what in _METHODS.items()]
    lines += [_encoding(), _training(), _search_speed()]
    lines += ["", f"P@10: share of right answers among the ten nearest, × 100, mean of {_listed(CLASSES)}."]
    return "\n".join(lines)


def _listed(names: tuple[str, ...]) -> str:
    return f"{', '.join(names[:-1])} and {names[-1]}"


def _search_quality(method: str, what: str) -> str:
    found = cells()
    own = [found[method, domain] for domain in CLASSES]
    score = statistics.fmean(mean(one, domain) for one, domain in zip(own, CLASSES, strict=True))
    seeds = min(len({cell["seed"] for cell in one}) for one in own)
    trained = "" if method == "start" else f", {seeds} seed{'' if seeds == 1 else 's'}"
    return _line(f"Search among own texts, P@10: {what}", f"{score:.1f}", "adapt", trained)


def _encoding() -> str:
    systems = {system["name"]: system["short"] for system in load("speed_encode")["systems"]}
    ratio = systems["ours openvino bfloat16"]["ratio"]
    return _line("Encoding on two cores, beside sentence-transformers' default", f"{ratio:.1f} ×", "speed_encode")


def _training() -> str:
    ratio = load("speed_train")["unsup"]["ours_default_to_their_default"]
    return _line("Training on two cores, beside sentence-transformers' default", f"{ratio:.1f} ×", "speed_train")


def _search_speed() -> str:
    result = load("search")
    corpus = result["corpora"]["distinct"]
    systems = {system["name"]: system for system in corpus["systems"]}
    ours = systems[f"ours, {result['kind']}"]
    exact = next(system for name, system in systems.items() if name.startswith("FAISS, IndexFlatIP"))
    what = (
        f"Search among {corpus['rows']:,} sentences, median, at recall {ours['recall_at_10']:.3f} "
        f"(exact search with FAISS: {exact['p50_milliseconds']:.1f} ms)"
    )
    return _line(what, f"{ours['p50_milliseconds']:.1f} ms", "search")


def _line(what: str, figure: str, script: str, more: str = "") -> str:
    return f"| {what} | {figure} | [`eval/{script}.py`](eval/{script}.py){more} |"
